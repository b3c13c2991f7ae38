//! Leaf types that the configuration, the data plane and the control plane share: one definition
//! of each.
//!
//! The room imports nothing of ours, so every other room may import it. A type here knows its own
//! values and their names; the rooms that use it decide what they mean.

pub(crate) mod access_format;
pub(crate) mod admin;
pub(crate) mod balance;
pub(crate) mod condition;
pub(crate) mod date;
pub(crate) mod endpoint;
pub(crate) mod error_body;
pub(crate) mod filter;
pub(crate) mod flood;
pub(crate) mod handshake;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod limit;
pub(crate) mod name;
pub(crate) mod oci;
pub(crate) mod period;
pub(crate) mod plan;
pub(crate) mod request_id;
pub(crate) mod rewrite;
pub(crate) mod sha256;
pub(crate) mod signature;
pub(crate) mod store;
pub(crate) mod word;
