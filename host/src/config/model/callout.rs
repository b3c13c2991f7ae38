//! `[callout.<name>]`: a server that filters may ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::config::source::Span;

/// `[callout.<name>]`: a server that filters may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callout {
    pub(crate) name: Arc<str>,
    pub url: Uri,
    /// The authorities that may sign the server's certificate. None: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// For a whole call. Default 5 s.
    pub timeout: Duration,
    /// The largest body of a request. Bytes, default 256 KiB.
    pub max_request: u64,
    /// The largest body of an answer. Bytes, default 256 KiB.
    pub max_response: u64,
    /// How many calls may be under way. Default 100.
    pub max_concurrent: usize,
    /// How many more may wait. Default 1000.
    pub max_waiting: usize,
    /// Whether its name may lead to loopback, link-local and metadata addresses. Default false.
    pub allow_local: bool,
    /// How Basic credentials are written. Default plain.
    pub basic: BasicForm,
    /// The table's name in the file.
    pub(crate) span: Span,
}

/// How the user and the password of Basic credentials are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasicForm {
    /// As they are (RFC 7617).
    Plain,
    /// As those of OAuth's clients (RFC 6749, section 2.3.1): both in the encoding of forms.
    Form,
}
