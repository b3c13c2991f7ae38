//! TLS on either side, and the protocols that it negotiates.

use std::path::PathBuf;

use crate::config::source::Span;

/// `tls = { .. }` of a `[[listener]]`: its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Its chain, PEM, its own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The `tls` value in the file.
    pub(crate) span: Span,
}

/// `tls = { .. }` of an `[upstream.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may have signed the endpoints' certificates, PEM. None: whom the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// What the gateway shows of itself where it is asked.
    pub(crate) identity: Option<Identity>,
    /// The name that the certificates must hold. None: the name in each endpoint's address.
    pub(crate) name: Option<String>,
    /// Whether certificates are checked. Default true.
    pub(crate) verify: bool,
    /// The `tls` value in the file.
    pub(crate) span: Span,
}

impl UpstreamTls {
    /// `tls = true`.
    #[must_use]
    pub(crate) fn plain(span: Span) -> Self {
        Self {
            ca: None,
            identity: None,
            name: None,
            verify: true,
            span,
        }
    }

    /// Whether it is as `tls = true` has it.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::plain(self.span)
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its chain, PEM, its own certificate first.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
}

/// What is spoken with endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 on clear text; with TLS what the endpoint chooses of HTTP/2 and HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; on clear text with prior knowledge.
    Http2,
}
