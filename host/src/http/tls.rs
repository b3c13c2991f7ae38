//! Certificates, keys and trusted authorities for rustls.
//!
//! The build of a configuration prepares the listeners, the admin listener and the upstreams here:
//! a file that cannot be used stops the start or the reload. It promises that an endpoint's
//! certificate is checked unless the configuration says `verify = false`. [`server`] reads what a
//! listener presents, [`selection`] picks one of its certificates, [`live`] holds those in use, and
//! [`watcher`] replaces them when their files change. It deliberately performs no handshakes.

use std::path::Path;
use std::sync::Arc;

pub(crate) mod agent;
pub(crate) mod certificate;
mod client_auth;
mod der;
pub(crate) mod failure;
pub(crate) mod live;
mod ocsp;
pub(crate) mod pem;
mod policy;
mod selection;
pub(crate) mod server;
pub(crate) mod session;
mod stamp;
pub(crate) mod watcher;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore, SignatureScheme,
};

use pem::Certificate;

/// HTTP/1.1 in ALPN.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
/// HTTP/2 in ALPN.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Why a certificate, its key or an authority cannot be used, and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct TlsError {
    message: String,
    help: String,
}

impl TlsError {
    /// An error in this file.
    fn new(path: &Path, what: &str, help: &str) -> Self {
        Self {
            message: format!("`{}` {what}", path.display()),
            help: help.to_owned(),
        }
    }

    /// The cure.
    #[must_use]
    pub(crate) fn help(&self) -> &str {
        &self.help
    }
}

/// An error of rustls although the files are well-formed.
impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self {
            message: format!("TLS cannot be set up: {error}"),
            help: "use a certificate and a key of a kind that TLS 1.2 and 1.3 support".to_owned(),
        }
    }
}

/// The settings of an upstream's side.
#[derive(Debug)]
pub(crate) struct ClientTls<'a> {
    /// The trusted authorities. None: those of the system.
    pub(crate) ca: Option<&'a Path>,
    /// The certificate and key to present if the server asks.
    pub(crate) identity: Option<(&'a Path, &'a Path)>,
    /// Whether the server's certificate is checked.
    pub(crate) verify: bool,
    /// The offered protocols, the preferred one first.
    pub(crate) protocols: &'a [&'a [u8]],
}

/// The configuration of an upstream's side: TLS 1.2 and 1.3. All connections that share it also
/// share its session cache.
///
/// # Errors
///
/// A file cannot be read, or has other content.
pub(crate) fn client(
    trust: &ClientTls<'_>,
    system: &mut SystemRoots,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(policy::default())
        .with_safe_default_protocol_versions()?;
    let builder = match (trust.verify, trust.ca) {
        (false, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(policy::default()))),
        (true, None) => builder.with_root_certificates(system.load()?),
        (true, Some(ca)) => builder.with_root_certificates(roots(ca)?),
    };
    let mut config = match trust.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (_, pair) = read_pair(certificate, key).map_err(first)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
        }
    };
    config.alpn_protocols = to_alpn(trust.protocols);
    Ok(Arc::new(config))
}

/// All errors in these files; [`client`] stops at the first.
#[must_use]
pub(crate) fn client_faults(trust: &ClientTls<'_>) -> Vec<TlsError> {
    let ca = trust.ca.filter(|_| trust.verify);
    let ca = ca.and_then(|ca| roots(ca).err());
    let identity = trust.identity;
    let identity = identity.map(|(certificate, key)| read_pair(certificate, key).err());
    let identity = identity.flatten().unwrap_or_default();
    ca.into_iter().chain(identity).collect()
}

/// The authorities that the system trusts. They are read on first use, so that one configuration
/// reads them once.
#[derive(Debug, Default)]
pub(crate) struct SystemRoots(Option<Arc<RootCertStore>>);

impl SystemRoots {
    fn load(&mut self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(roots) = &self.0 {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's trusted certificates could not be read; check the system's `ca-certificates`");
        }
        // Some systems ship old ones that are no longer valid.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(TlsError {
                message: "the system has no trusted certificates".to_owned(),
                help: "install its `ca-certificates`, or name a file with `ca`".to_owned(),
            });
        }
        Ok(Arc::clone(self.0.insert(Arc::new(roots))))
    }
}

fn to_alpn(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|name| name.to_vec()).collect()
}

/// A chain, with the owner's certificate first.
fn chain(path: &Path) -> Result<Vec<Certificate>, TlsError> {
    let chain = pem::certificates(path)?;
    certificate::parse(path, &chain)?;
    Ok(chain)
}

/// A private key, ready to sign.
fn signing_key(path: &Path) -> Result<Arc<dyn SigningKey>, TlsError> {
    let (key, line) = pem::key(path)?;
    let signs = policy::default().key_provider.load_private_key(key);
    signs.map_err(|_| {
        let what = format!("holds a private key that TLS cannot use (line {line})");
        let help = "take an RSA key of 2048 to 8192 bits, an ECDSA key on P-256, P-384 or P-521, or Ed25519: \
             `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out api.key`";
        TlsError::new(path, &what, help)
    })
}

/// Reads a chain, and the key of its first certificate. `Err`: all errors in the files, at least one.
fn read_pair(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<Certificate>, CertifiedKey), Vec<TlsError>> {
    let (chain, signs) = match (chain(certificate), signing_key(key)) {
        (Ok(chain), Ok(signs)) => (chain, signs),
        (chain, signs) => return Err([chain.err(), signs.err()].into_iter().flatten().collect()),
    };
    check_pair((certificate, key), &chain, &signs).map_err(|error| vec![error])?;
    let ders = chain.iter().map(|one| one.der.clone()).collect();
    Ok((chain, CertifiedKey::new(ders, signs)))
}

/// Checks that the key is that of the first certificate.
fn check_pair(
    (certificate, key): (&Path, &Path),
    chain: &[Certificate],
    signs: &Arc<dyn SigningKey>,
) -> Result<(), TlsError> {
    let is_of = |one: &Certificate| {
        let pair = CertifiedKey::new(vec![one.der.clone()], Arc::clone(signs));
        // A key that does not reveal its public half is accepted.
        !matches!(
            pair.keys_match(),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch))
        )
    };
    match chain.iter().position(is_of) {
        Some(0) => check_usable(certificate, chain, signs),
        Some(index) => {
            let line = chain.get(index).map_or(1, |one| one.line);
            let what = format!(
                "holds its certificates in the wrong order: the one of the key `{}` is number {} (line {line})",
                key.display(),
                index + 1
            );
            let help =
                "put the certificate of the key first, then the one that signed it, and so on";
            Err(TlsError::new(certificate, &what, help))
        }
        None => {
            let what = format!(
                "does not belong to the certificate in `{}`",
                certificate.display()
            );
            let help = "name the key that the certificate was made for: both have the same public key, which \
                 `openssl x509 -noout -pubkey -in <certificate>` and `openssl pkey -pubout -in <key>` show";
            Err(TlsError::new(key, &what, help))
        }
    }
}

/// The first of these errors.
fn first(errors: Vec<TlsError>) -> TlsError {
    let first = errors.into_iter().next();
    first.unwrap_or_else(|| Error::General("no error".to_owned()).into())
}

/// Checks that rustls accepts the first certificate of a chain, with its key.
fn check_usable(
    path: &Path,
    chain: &[Certificate],
    signs: &Arc<dyn SigningKey>,
) -> Result<(), TlsError> {
    let Some(Certificate { der, line }) = chain.first() else {
        return Ok(());
    };
    let error = match CertifiedKey::new(vec![der.clone()], Arc::clone(signs)).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => return Ok(()),
        Err(error) => error,
    };
    let what = format!("holds a certificate that TLS cannot use (line {line}): {error}");
    let help = "request a new one; it must have X.509 version 3, which `openssl x509 -req` makes only with `-extfile`, \
         and `openssl req -x509` always";
    Err(TlsError::new(path, &what, help))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for Certificate { der, line } in chain(path)? {
        roots.add(der).map_err(|error| {
            let what = format!("holds a certificate that cannot be trusted (line {line}): {error}");
            TlsError::new(path, &what, "remove it, or request a new one")
        })?;
    }
    Ok(Arc::new(roots))
}

/// `verify = false`: accepts any certificate. The server must still prove that it has the key.
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
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
