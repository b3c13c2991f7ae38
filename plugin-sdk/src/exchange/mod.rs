//! The current exchange: handles over the contract's free functions.
//!
//! A handle holds nothing: each call asks the gateway, and copies only what it asks for. Edits
//! are seen by later reads, and by later filters; an edit that is followed by a trap never
//! happened.

mod attributes;
mod fields;
mod notes;
mod piece;
mod request;
mod response;

pub use attributes::Attributes;
pub use fields::{
    PackedFields, RESERVED_FIELDS, Trailers, is_field_name, is_field_value, is_reserved_field,
};
pub use notes::Notes;
pub use piece::Piece;
pub use request::Request;
pub use response::Response;
