//! The current exchange: handles that wrap the contract's free functions.
//!
//! A handle stores nothing. Each call asks the gateway, and copies only the data that it asks for.
//! Later reads and later filters see the edits. If a phase traps, the gateway discards its edits.

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
