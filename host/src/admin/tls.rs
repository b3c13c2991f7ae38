//! The certificate of the operator's listener.
//!
//! It promises that a new one is used by every handshake that begins after it was read, that
//! connections go on with what they began with, and that one that cannot be used changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or holds no such thing.
    #[error("`{}` cannot be read as {what} in PEM: {cause}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why not.
        cause: rustls::pki_types::pem::Error,
    },
    /// They do not fit each other, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// A certificate with its key, ready for handshakes. A clone is another hold on the same.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Tls {
    /// From two PEM files: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not fit.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = Arc::new(config(certificate, key)?);
        Ok(Self(Arc::new(ArcSwap::new(config))))
    }

    /// The same anew, for handshakes from now on.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not fit; then what was read before stays in use.
    pub fn read_again(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.0.store(Arc::new(config(certificate, key)?));
        Ok(())
    }

    /// Shake hands.
    ///
    /// # Errors
    /// The client is gone, or speaks no TLS that is known here.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.load_full()).accept(stream).await
    }
}

fn config(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let fault = |path: &Path, what| {
        let path = path.to_owned();
        move |cause| TlsError::File { path, what, cause }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(fault(certificate, "certificates"))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(fault(key, "a private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
