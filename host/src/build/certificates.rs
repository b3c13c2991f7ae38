//! The validity of a configuration's certificates: warnings, and the times for `/metrics`.
//!
//! Certificates that cannot be used are found where they are prepared for handshakes.

use std::path::Path;

use crate::config::{CheckTls, Config, Problems, Span, UpstreamConfig, UpstreamTls};
use crate::http::tls::certificate;
use crate::http::tls::certificate::{ServedCertificate, Validity, ValidityFault};
use crate::runtime::clock::Timestamp;

/// Those that this configuration presents to upstreams. Warns of all certificates that the other side refuses, or will soon.
pub(crate) fn check(config: &Config, problems: &mut Problems) -> Vec<ServedCertificate> {
    let listeners = config.listeners.iter();
    let listeners = listeners.filter_map(|one| {
        let title = format!("listener `{}`", one.address);
        Some((title, one.tls.as_ref()?))
    });
    let admin = config.admin.iter();
    let admin = admin.filter_map(|one| Some(("`[admin] tls`".to_owned(), one.tls.as_ref()?)));
    for (title, tls) in listeners.chain(admin) {
        for files in tls.all() {
            // A file that cannot be read is reported by its user.
            if let Ok(validity) = Validity::of_file(&files.certificate) {
                warn(&title, &files.certificate, &validity, files.span, problems);
            }
        }
    }
    let mut all = Vec::new();
    for upstream in &config.upstreams {
        let checks = upstream.health.as_ref().map(|health| &health.tls);
        let checks = checks.and_then(|tls| match tls {
            CheckTls::On(tls) => Some(tls),
            CheckTls::AsRequests | CheckTls::Off => None,
        });
        for tls in upstream.tls.iter().chain(checks) {
            let Some(identity) = &tls.identity else {
                continue;
            };
            let Ok(validity) = Validity::of_file(&identity.certificate) else {
                continue;
            };
            let title = format!("upstream `{}`", upstream.name);
            warn(&title, &identity.certificate, &validity, tls.span, problems);
            all.push(ServedCertificate {
                audience: "upstream",
                name: upstream.name.to_string(),
                file: identity.certificate.clone(),
                ends_s: validity.ends_s,
            });
        }
    }
    hosts(config, problems);
    for upstream in &config.upstreams {
        if let Some(tls) = &upstream.tls {
            authorities(upstream, tls, problems);
        }
    }
    all
}

/// Warn of a host of a route for which no listener has a certificate.
///
/// Not where a listener speaks clear text, nor where a proxy is in front: it may not look at names.
fn hosts(config: &Config, problems: &mut Problems) {
    let mut shown = Vec::new();
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else {
            return;
        };
        for files in tls.all() {
            let Some(names) = certificate::names_of(&files.certificate) else {
                return;
            };
            shown.push(names);
        }
    }
    if !config.server.trusted_proxies.is_empty() {
        return;
    }
    let mut reported: Vec<&str> = Vec::new();
    for route in &config.routes {
        let names = route.hosts.iter().filter(|host| !host.starts_with('*'));
        for host in names {
            if reported.contains(&&**host) || shown.iter().any(|names| names.covers(host)) {
                continue;
            }
            reported.push(host);
            let message = format!(
                "no certificate of a listener is for the host `{host}`: clients that ask for it refuse the connection"
            );
            problems.warning_of(route, message).help(
                "get a certificate that names the host too, or list the proxy that ends TLS in `[server] trusted_proxies`",
            );
        }
    }
}

/// Warn of authorities that can vouch for nobody any more.
fn authorities(upstream: &UpstreamConfig, tls: &UpstreamTls, problems: &mut Problems) {
    let Some(path) = tls.ca.as_deref().filter(|_| tls.verify) else {
        return;
    };
    if Validity::of_file(path).is_ok_and(|validity| validity.all_ended(Timestamp::now().unix_s())) {
        let message = format!(
            "upstream `{}`: every certificate in `ca`, `{}`, has ended: no endpoint is trusted",
            upstream.name,
            path.display()
        );
        tracing::warn!("{message}");
        problems
            .warning(tls.span, message)
            .help("put those in their place that sign the endpoints' certificates now, and reload");
    }
}

fn warn(title: &str, path: &Path, validity: &Validity, span: Span, problems: &mut Problems) {
    let shown = path.display();
    if let Some(overdue) = validity.fault(Timestamp::now().unix_s()) {
        let line = validity.line();
        let (follows, help) = match overdue {
            ValidityFault::Expired(_) => (
                ": clients that verify it refuse it",
                "renew it, put the new one in its place, and reload",
            ),
            ValidityFault::NotYetValid(_) => (
                ": clients that verify it refuse it until then",
                "see that the clock of this machine is right, or use the former certificate until then",
            ),
            ValidityFault::ExpiresSoon(_) => {
                ("", "renew it, put the new one in its place, and reload")
            }
        };
        let message =
            format!("{title}: the certificate in `{shown}` (line {line}) {overdue}{follows}");
        // The report of a start is text for people: whoever collects the log gets a line as well.
        tracing::warn!("{message}");
        problems.warning(span, message).help(help);
    }
    if let Some(line) = validity.out_of_order() {
        let message = format!(
            "{title}: the chain in `{shown}` is not in order: the certificate at line {line} did not sign the one before it"
        );
        problems.warning(span, message).help(
            "each certificate is followed by the one that signed it; take out those that sign none",
        );
    }
}
