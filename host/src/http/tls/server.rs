//! The TLS of a listener, read from its files.
//!
//! It promises that all errors of all files are told at once, each at its place in the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::certificate::Validity;
use super::client_auth::{self, ClientTrust};
use super::ocsp::{self, OcspFault};
use super::pem::Certificate;
use super::selection::CertificateSelection;
use super::{TlsError, certificate, policy, read_pair, to_alpn};
use crate::config::{CertificateFiles, ClientAuth, ListenerTls, Span};
use crate::model::sha256::Sha256;
use crate::runtime::clock::Timestamp;

/// An error or a warning, and its place in the configuration.
#[derive(Debug)]
pub(crate) struct TlsFault {
    pub(crate) span: Span,
    pub(crate) error: TlsError,
}

/// A certificate that a listener presents.
#[derive(Debug)]
pub(super) struct LoadedCertificate {
    /// The file of its chain.
    pub(super) file: PathBuf,
    /// Its place in the configuration.
    pub(super) span: Span,
    pub(super) validity: Validity,
    /// When its OCSP response is out of date. Seconds since 1970.
    pub(super) staple_ends_s: Option<i64>,
}

/// The content of a listener's files, ready for handshakes.
#[derive(Debug)]
pub(super) struct LoadedTls {
    pub(super) config: Arc<ServerConfig>,
    /// The digest of the files by which clients are verified.
    trust: Option<Sha256>,
    pub(super) certificates: Vec<LoadedCertificate>,
    pub(super) warnings: Vec<TlsFault>,
}

/// Reads the files of a listener. `protocols` are those of ALPN, the preferred one first. Sessions that
/// began with `former` can be resumed, unless clients are verified in another way now: a resumed session has
/// no verification of its own.
///
/// # Errors
///
/// All files that cannot be used.
pub(super) fn load(
    settings: &ListenerTls,
    protocols: &[&[u8]],
    former: Option<&LoadedTls>,
) -> Result<LoadedTls, Vec<TlsFault>> {
    let mut loader = Loader::default();
    for files in settings.all() {
        loader.add(files);
    }
    let provider = policy::of(settings.cipher_policy);
    let clients = settings.client_auth.as_ref();
    let clients = clients.and_then(|clients| loader.clients(clients, Arc::clone(&provider)));
    if !loader.errors.is_empty() {
        return Err(loader.errors);
    }
    let whole = |error: rustls::Error| {
        let (span, error) = (settings.span, error.into());
        vec![TlsFault { span, error }]
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(policy::versions(settings.min_version))
        .map_err(whole)?;
    let trust = clients.as_ref().map(|clients| clients.digest);
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(loader.selection));
    config.alpn_protocols = to_alpn(protocols);
    // Scanners ask for an order of the server's; the policy's is by cost.
    config.ignore_client_order = true;
    // Tickets let clients resume sessions without memory for each.
    config.ticketer = match former.filter(|former| former.trust == trust) {
        Some(former) => Arc::clone(&former.config.ticketer),
        None => aws_lc_rs::Ticketer::new().map_err(whole)?,
    };
    Ok(LoadedTls {
        config: Arc::new(config),
        trust,
        certificates: loader.certificates,
        warnings: loader.warnings,
    })
}

#[derive(Default)]
struct Loader {
    selection: CertificateSelection,
    certificates: Vec<LoadedCertificate>,
    errors: Vec<TlsFault>,
    warnings: Vec<TlsFault>,
}

impl Loader {
    fn add(&mut self, files: &CertificateFiles) {
        let (path, span) = (&*files.certificate, files.span);
        let fault = |error| TlsFault { span, error };
        let (chain, mut pair) = match read_pair(path, &files.key) {
            Ok(read) => read,
            Err(errors) => return self.errors.extend(errors.into_iter().map(fault)),
        };
        let validity = match Validity::of_chain(path, &chain) {
            Ok(validity) => validity,
            Err(error) => return self.errors.push(fault(error)),
        };
        let staple_ends_s = self.staple(files, &chain, &mut pair);
        let names = dns_names(&chain);
        let is_reachable = self.selection.add(Arc::new(pair), &names);
        if !is_reachable {
            self.warnings.push(fault(never_served(path, &names)));
        }
        self.certificates.push(LoadedCertificate {
            file: path.to_owned(),
            span,
            validity,
            staple_ends_s,
        });
    }

    /// Reads the files by which clients are verified.
    fn clients(
        &mut self,
        settings: &ClientAuth,
        provider: Arc<CryptoProvider>,
    ) -> Option<ClientTrust> {
        let span = settings.span;
        let fault = |error| TlsFault { span, error };
        match client_auth::read(settings, provider, Timestamp::now().unix_s()) {
            Ok(mut trust) => {
                let warnings = std::mem::take(&mut trust.warnings);
                self.warnings.extend(warnings.into_iter().map(fault));
                Some(trust)
            }
            Err(errors) => {
                self.errors.extend(errors.into_iter().map(fault));
                None
            }
        }
    }

    /// Adds the OCSP response to the certificate. Returns when it is out of date.
    fn staple(
        &mut self,
        files: &CertificateFiles,
        chain: &[Certificate],
        pair: &mut CertifiedKey,
    ) -> Option<i64> {
        let path = files.ocsp.as_deref()?;
        let own = chain.get(..1).unwrap_or_default();
        let fields = certificate::parse(&files.certificate, own).ok()?;
        let serial = fields.first()?.serial;
        let span = files.span;
        match ocsp::read(path, serial, Timestamp::now().unix_s()) {
            Ok(staple) => {
                pair.ocsp = Some(staple.response);
                return staple.ends_s;
            }
            Err(OcspFault::Unusable(error)) => self.errors.push(TlsFault { span, error }),
            Err(OcspFault::Ignored(error)) => self.warnings.push(TlsFault { span, error }),
        }
        None
    }
}

/// The DNS names of the first certificate.
fn dns_names(chain: &[Certificate]) -> Vec<String> {
    let own = chain.first().map(|first| &first.der);
    let own = own.and_then(|der| EndEntityCert::try_from(der).ok());
    let names = own.iter().flat_map(|own| own.valid_dns_names());
    names.map(str::to_owned).collect()
}

fn never_served(path: &Path, names: &[String]) -> TlsError {
    match names {
        [] => TlsError::new(
            path,
            "is never presented: its certificate has no DNS name that a client could ask for",
            "take it out, or request a certificate that has the host's name as a subject alternative name",
        ),
        _ => TlsError::new(
            path,
            "is never presented: certificates before it have all of its names and the same kind of key",
            "take it out, or put it before the others",
        ),
    }
}
