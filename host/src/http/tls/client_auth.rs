//! Verifies the certificates of clients (mutual TLS).
//!
//! It promises that a client's chain ends at an authority of `ca`, and that with `crl` a certificate about
//! which no current list says anything is refused.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use webpki::BorrowedCertRevocationList;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

use super::certificate::{Date, Validity};
use super::pem::{self, RevocationList};
use super::{TlsError, roots};
use crate::config::{ClientAuth, ClientAuthMode};
use crate::model::sha256::Sha256;

/// Verifies clients, and says by which files.
#[derive(Debug)]
pub(super) struct ClientTrust {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The digest of the mode and of the files' content. Sessions that began with another one are not resumed.
    pub(super) digest: Sha256,
    pub(super) warnings: Vec<TlsError>,
}

/// Reads the files.
///
/// # Errors
///
/// All files that cannot be used.
pub(super) fn read(
    settings: &ClientAuth,
    provider: Arc<CryptoProvider>,
    now_s: i64,
) -> Result<ClientTrust, Vec<TlsError>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let mut content = vec![u8::from(settings.mode == ClientAuthMode::Required)];
    let authorities = match roots(&settings.ca) {
        Ok(authorities) => authorities,
        Err(error) => {
            errors.push(error);
            Arc::new(RootCertStore::empty())
        }
    };
    for anchor in &authorities.roots {
        content.extend_from_slice(&anchor.subject);
        content.extend_from_slice(&anchor.subject_public_key_info);
    }
    if Validity::of_file(&settings.ca).is_ok_and(|validity| validity.all_ended(now_s)) {
        let help = "put those in their place that sign the clients' certificates now";
        let what = "holds only certificates that have ended: no client is trusted";
        warnings.push(TlsError::new(&settings.ca, what, help));
    }
    let mut lists = Vec::new();
    for path in &settings.crl {
        match revocation_lists(path, now_s, &mut warnings) {
            Ok(read) => lists.extend(read),
            Err(error) => errors.push(error),
        }
    }
    for list in &lists {
        content.extend_from_slice(list);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(authorities, provider);
    if !lists.is_empty() {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if settings.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| {
        let what = format!("cannot be used to verify clients: {error}");
        let help = "name the certificates of the authorities that sign the clients' certificates";
        vec![TlsError::new(&settings.ca, &what, help)]
    })?;
    Ok(ClientTrust {
        verifier,
        digest: Sha256::of(&content),
        warnings,
    })
}

/// The lists in a file. Warns of those that are out of date.
fn revocation_lists(
    path: &Path,
    now_s: i64,
    warnings: &mut Vec<TlsError>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let read = pem::revocation_lists(path)?;
    for RevocationList { der, line } in &read {
        let unusable = |error: &dyn std::fmt::Display| {
            let what =
                format!("holds a revocation list that cannot be used (line {line}): {error}");
            let help = "get it anew from the authority, in version 2, whole and signed: `openssl crl -inform der -in ca.crl -out ca.pem` converts one from DER";
            TlsError::new(path, &what, help)
        };
        BorrowedCertRevocationList::from_der(der).map_err(|error| unusable(&error))?;
        let parsed = CertificateList::from_der(der).map_err(|error| unusable(&error))?;
        let next = parsed.tbs_cert_list.next_update;
        let next = next.map(|time| time.to_unix_duration().as_secs());
        let ends_s = next.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        if let Some(ends_s) = ends_s.filter(|ends_s| *ends_s <= now_s) {
            let what = format!(
                "holds a revocation list that is out of date since {} (line {line}): clients of its authority are refused",
                Date(ends_s)
            );
            let help =
                "let a timer get a new one before each is out of date; Windlass reads it by itself";
            warnings.push(TlsError::new(path, &what, help));
        }
    }
    Ok(read.into_iter().map(|list| list.der).collect())
}
