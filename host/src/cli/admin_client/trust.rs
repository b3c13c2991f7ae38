//! The token, where it may be sent, and the certificates that prove the gateway's identity.

use std::fs;
use std::path::Path;

use ureq::tls::{Certificate, PemItem};
use zeroize::Zeroizing;

use super::{CommandError, ConnectionArguments};

/// Checks that the token may be sent to this URL.
pub(super) fn check(base: &str, with_token: bool) -> Result<(), CommandError> {
    let uri: http::Uri = base.parse().map_err(|error| {
        CommandError::Usage(format!(
            "`{base}` is not a URL: {error}; write one such as `http://127.0.0.1:9080`"
        ))
    })?;
    let host = uri.host().unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if local || !with_token => Ok(()),
        Some("http") => Err(CommandError::Usage(format!(
            "the token would be sent to {host} without TLS; use `https://`"
        ))),
        Some(_) | None => Err(CommandError::Usage(format!(
            "`{base}` is not an HTTP URL; write one such as `http://127.0.0.1:9080`"
        ))),
    }
}

pub(super) fn token(
    arguments: &ConnectionArguments,
) -> Result<Option<Zeroizing<String>>, CommandError> {
    let token = match &arguments.token_file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| {
                CommandError::Usage(format!(
                    "the token file `{}` cannot be read: {error}",
                    path.display()
                ))
            })?;
            Some(Zeroizing::new(text))
        }
        None => std::env::var("WINDLASS_ADMIN_TOKEN")
            .ok()
            .map(Zeroizing::new),
    };
    let token = token.map(|token| Zeroizing::new(token.trim().to_owned()));
    Ok(token.filter(|token| !token.is_empty()))
}

/// The certificates to trust: those of `--ca`, else those of `SSL_CERT_FILE` or of the system.
pub(super) fn trusted(
    arguments: &ConnectionArguments,
) -> Result<Vec<Certificate<'static>>, CommandError> {
    match &arguments.ca {
        Some(path) => read_certificates(path),
        None => system_certificates(),
    }
}

fn system_certificates() -> Result<Vec<Certificate<'static>>, CommandError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let cause = found.errors.first();
        let cause = cause.map_or_else(String::new, |error| format!(" ({error})"));
        return Err(CommandError::Usage(format!(
            "this system has no trusted certificates{cause}; name a file of them with `--ca`"
        )));
    }
    let certificates = found.certs.iter();
    Ok(certificates
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect())
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CommandError> {
    let text = fs::read(path).map_err(|error| {
        CommandError::Usage(format!("`{}` cannot be read: {error}", path.display()))
    })?;
    let items = ureq::tls::parse_pem(&text);
    let found: Vec<_> = items
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if found.is_empty() {
        let path = path.display();
        return Err(CommandError::Usage(format!(
            "`{path}` has no certificate in PEM"
        )));
    }
    Ok(found)
}
