//! The items that most filters use: `use windlass_plugin_sdk::prelude::*;`.

pub use crate::filter::{
    Describe, Failure, Filter, OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody,
};
pub use crate::{
    BodyMode, ChunkVerdict, Contribution, Diagnostic, LocalResponse, NoSettings, Piece, Request,
    RequestVerdict, Response, ResponseVerdict, Setup, export, host,
};
