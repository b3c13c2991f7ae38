//! The certificate of the admin listener, which a reload can replace.
//!
//! It promises that every handshake after a reload uses the new certificate, that open connections
//! keep theirs, and that a certificate that cannot be used changes nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::tls::{HTTP1, TlsError, server};

/// A certificate with its key, ready for handshakes. Clones share one certificate.
#[derive(Clone)]
pub(crate) struct AdminTls(Arc<ArcSwap<ServerConfig>>);

impl std::fmt::Debug for AdminTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl AdminTls {
    /// Reads two PEM files for TLS 1.2 and 1.3 with HTTP/1.1.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the key does not fit the certificate.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = server(certificate, key, &[HTTP1])?;
        Ok(Self(Arc::new(ArcSwap::new(config))))
    }

    /// Reads the files again, for handshakes from now on.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the key does not fit the certificate; then the old certificate
    /// stays in use.
    pub(crate) fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.0.store(server(certificate, key, &[HTTP1])?);
        Ok(())
    }

    /// Performs the handshake.
    ///
    /// # Errors
    ///
    /// The client is gone, or the two sides have no version or cipher in common.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.load_full()).accept(stream).await
    }
}
