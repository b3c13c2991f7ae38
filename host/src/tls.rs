//! Certificates, keys and whom to trust, as rustls takes them.
//!
//! The listeners, the operator's listener and the upstreams are made ready here, when a
//! configuration is built: what cannot be used stops the start or the reload. It promises that an
//! endpoint's certificate is checked unless the configuration says `verify = false`.
//! Deliberately not here: handshakes, and watching the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

/// HTTP/1.1 in ALPN.
pub const HTTP1: &[u8] = b"http/1.1";
/// HTTP/2 in ALPN.
pub const HTTP2: &[u8] = b"h2";

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
        cause: pem::Error,
    },
    /// A file is there and holds none.
    #[error("`{}` holds no certificate; write it in PEM, beginning with `-----BEGIN CERTIFICATE-----`", .path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// They do not fit each other, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(#[from] Error),
    /// The system trusts nobody.
    #[error(
        "the system has no certificates to trust; install its `ca-certificates`, or name some by `ca`"
    )]
    NoRoots,
}

/// A listener's side: TLS 1.2 and 1.3 with this certificate, and these protocols, the best first.
///
/// # Errors
/// A file cannot be read, or the two do not fit.
pub fn server(
    certificate: &Path,
    key: &Path,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain(certificate)?, secret(key)?)?;
    config.alpn_protocols = owned(protocols);
    // Sessions can be resumed without a place in memory for each.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// What an upstream's side is made of.
#[derive(Debug)]
pub struct Trust<'a> {
    /// Who may have signed. None: whom the system trusts.
    pub ca: Option<&'a Path>,
    /// What is shown when asked: certificate and key.
    pub identity: Option<(&'a Path, &'a Path)>,
    /// Whether certificates are checked.
    pub verify: bool,
    /// What is offered, the best first.
    pub protocols: &'a [&'a [u8]],
}

/// An upstream's side: TLS 1.2 and 1.3. It remembers sessions, for all who share it.
///
/// # Errors
/// A file cannot be read, or does not hold what it should.
pub fn client(trust: &Trust<'_>, system: &mut SystemRoots) -> Result<Arc<ClientConfig>, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match (trust.verify, trust.ca) {
        (false, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider()))),
        (true, None) => builder.with_root_certificates(system.get()?),
        (true, Some(ca)) => builder.with_root_certificates(roots(ca)?),
    };
    let mut config = match trust.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(chain(certificate)?, secret(key)?)?
        }
    };
    config.alpn_protocols = owned(trust.protocols);
    Ok(Arc::new(config))
}

/// What is wrong with these files, each one: [`client`] stops at the first.
#[must_use]
pub fn faults(trust: &Trust<'_>) -> Vec<TlsError> {
    let ca = trust.ca.filter(|_| trust.verify);
    let ca = ca.and_then(|ca| roots(ca).err());
    let (certificate, key) = trust.identity.unzip();
    let certificate = certificate.and_then(|path| chain(path).err());
    let key = key.and_then(|path| secret(path).err());
    [ca, certificate, key].into_iter().flatten().collect()
}

/// Whom the system trusts, read when it is asked for first: one configuration reads it once.
#[derive(Debug, Default)]
pub struct SystemRoots(Option<Arc<RootCertStore>>);

impl SystemRoots {
    fn get(&mut self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(roots) = &self.0 {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificates cannot be read");
        }
        // Some systems ship old ones that are not valid any more.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        Ok(Arc::clone(self.0.insert(Arc::new(roots))))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn owned(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|name| name.to_vec()).collect()
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| unreadable(path, "certificates", cause))?;
    if chain.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn secret(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| unreadable(path, "a private key", cause))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

fn unreadable(path: &Path, what: &'static str, cause: pem::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        what,
        cause,
    }
}

/// `verify = false`: any certificate is taken. That its owner has the key is still proved.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
