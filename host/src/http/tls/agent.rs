//! TLS of the blocking client that fetches files at a start or a reload.

use std::path::Path;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{TlsError, pem, policy};

/// TLS that trusts these authorities, or those of the system (`SSL_CERT_FILE` names others). If `is_needed` is false, a
/// system without any is no error: the server is asked without TLS.
///
/// # Errors
///
/// The file cannot be used, or the system has none.
pub(crate) fn tls_config(ca: Option<&Path>, is_needed: bool) -> Result<TlsConfig, TlsError> {
    let own = |der: &[u8]| Certificate::from_der(der).to_owned();
    let trusted: Vec<_> = match ca {
        Some(ca) => pem::certificates(ca)?
            .iter()
            .map(|one| own(&one.der))
            .collect(),
        None => {
            let found = rustls_native_certs::load_native_certs();
            found.certs.iter().map(|one| own(one)).collect()
        }
    };
    if trusted.is_empty() && is_needed {
        return Err(TlsError {
            message: "the system has no trusted certificates".to_owned(),
            help: "install its `ca-certificates`, or name a file with `ca`".to_owned(),
        });
    }
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(policy::default())
        .root_certs(RootCerts::new_with_certs(&trusted))
        .build())
}
