//! An error of an endpoint's connection, whatever its version of HTTP.

/// An error of the connection, or of a stream on it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Over HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl TransportError {
    /// The error of HTTP/2, if it is one.
    #[must_use]
    pub(crate) fn http2(&self) -> Option<&h2::Error> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(error) => Some(error),
        }
    }
}
