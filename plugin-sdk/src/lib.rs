//! What the author of a Windlass filter depends on.
//!
//! A filter is a type, an impl of one trait for each phase that it has, and one
//! [`export!`] line that names the same phases. The crate's README shows a whole plugin in
//! 25 lines and the TOML that turns it on.
//!
//! What this crate promises: a component exports exactly the named phases and imports only the
//! host interfaces that it calls; the filter is configured once in each instance; a complaint
//! about the settings carries a JSON pointer; a call costs no allocation of the SDK's own.
//!
//! What it deliberately does not do: it holds no copy of the message (a handle asks the gateway,
//! each time), it offers nothing that could block, and it stands on the contract in `wit/` alone,
//! never on the gateway's code.

#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
mod contribution;
mod exchange;
mod export;
mod filter;
pub mod host;
pub mod path;
pub mod prelude;
pub mod ratelimit;
mod settings;
mod setup;
#[doc(hidden)]
pub mod shim;
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
