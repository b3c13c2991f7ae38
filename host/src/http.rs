//! Below the stops: bodies, connections' bytes, TLS, interim answers and the time-outs of a client's
//! connection.
//!
//! Server, chain, proxy and upstream all need these. Nothing here knows a stop: what is here takes bytes and
//! fields, and gives them on. The rules of one stop (which fields it forwards, when it retries) stay with it.

pub(crate) mod body;
pub(crate) mod body_error;
pub(crate) mod client_body;
pub(crate) mod client_connection;
pub(crate) mod field_spelling;
pub(crate) mod header_flags;
pub(crate) mod headers;
pub(crate) mod identity_fields;
pub(crate) mod interim;
pub(crate) mod proxy_protocol;
pub(crate) mod stream;
pub(crate) mod tap;
pub(crate) mod tls;
pub(crate) mod watch;
