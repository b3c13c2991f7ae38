//! The certificate of the operator's listener.
//!
//! It promises that a new one is used by every handshake that begins after it was read, that
//! connections go on with what they began with, and that one that cannot be used changes nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::tls::{HTTP1, TlsError, server};

/// A certificate with its key, ready for handshakes. A clone is another hold on the same.
#[derive(Clone)]
pub(crate) struct AdminTls(Arc<ArcSwap<ServerConfig>>);

impl std::fmt::Debug for AdminTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl AdminTls {
    /// From two PEM files: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not fit.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = server(certificate, key, &[HTTP1])?;
        Ok(Self(Arc::new(ArcSwap::new(config))))
    }

    /// The same anew, for handshakes from now on.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not fit; then what was read before stays in use.
    pub(crate) fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.0.store(server(certificate, key, &[HTTP1])?);
        Ok(())
    }

    /// Shake hands.
    ///
    /// # Errors
    /// The client is gone, or speaks no TLS that is known here.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.load_full()).accept(stream).await
    }
}
