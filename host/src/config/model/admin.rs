//! `[admin]`: the operator's listener, and who may use it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{ListenerTls, Role};
use crate::config::source::Span;

/// `[admin]`: the operator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it is bound: a loopback address, or any with `tls` and at least one token.
    pub address: SocketAddr,
    /// Who may use it. Default nobody.
    pub tokens: Vec<AdminToken>,
    /// Its certificate. Default plain HTTP.
    pub tls: Option<ListenerTls>,
    /// The largest request body. Bytes, default 64 MiB.
    pub max_body: u64,
}

/// A bearer token of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Whose it is, for the audit log. Unique.
    pub name: Arc<str>,
    pub role: Role,
    /// The place of its text in [`Config::secrets`](super::Config::secrets).
    pub secret: usize,
    /// The entry in the file.
    pub(crate) span: Span,
}
