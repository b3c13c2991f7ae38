//! The SDK for Windlass filters in Rust.
//!
//! A filter is a type, an impl of one trait for each phase that it needs, and one [`export!`] line
//! that names the same phases. The crate's README shows a whole plugin in 25 lines, and the TOML
//! that enables it.
//!
//! This crate promises: a component exports exactly the named phases and imports only the host
//! interfaces that it calls; the filter is configured once in each instance; an error in the
//! settings has a JSON pointer; and a call needs no allocation of the SDK's own.
//!
//! It deliberately keeps no copy of the message (a handle asks the gateway each time), offers
//! nothing that could block, and depends only on the contract in `wit/`, never on the gateway's
//! code.

#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
mod contribution;
mod exchange;
mod export;
mod filter;
#[doc(hidden)]
pub mod gateway;
pub mod host;
pub mod path;
pub mod prelude;
pub mod ratelimit;
mod settings;
mod setup;
#[doc(hidden)]
pub mod shim;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod verdict;

pub use bindings::lifecycle::exports::windlass::filter::lifecycle::Diagnostic;
pub use bindings::lifecycle::windlass::host::types::{
    AttributeValueParam as AttributeRef, AttributeValueResult as AttributeValue, BodyMode,
    ChunkVerdict, EditError, FieldValueResult as FieldValue, LocalResponse, Message,
    RequestVerdict, ResponseVerdict, RouteHint,
};
pub use contribution::Contribution;
pub use exchange::{Attributes, Notes, PackedFields, Piece, Request, Response, Trailers};
pub use exchange::{RESERVED_FIELDS, is_field_name, is_field_value, is_reserved_field};
pub use filter::{
    Describe, Failure, Filter, OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody,
};
pub use host::response_edits::ResponseEdit;
pub use path::{PathAndQuery, RawParam};
pub use serde_json::{Value as Json, json};
pub use settings::{NoSettings, parse as parse_settings, parse_duration};
pub use setup::Setup;
