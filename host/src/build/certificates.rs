//! The validity of a configuration's certificates: warnings, and the times for `/metrics`.
//!
//! Certificates that cannot be used are found where they are prepared for handshakes.

use std::path::Path;

use crate::config::{CheckTls, Config, Problems, Span, UpstreamConfig, UpstreamTls};
use crate::http::tls::certificate;
use crate::http::tls::certificate::{ServedCertificate, Validity, ValidityFault};
use crate::runtime::clock::Timestamp;

/// All that this configuration shows. Warns of those that clients refuse, or will soon.
pub(crate) fn check(config: &Config, problems: &mut Problems) -> Vec<ServedCertificate> {
    let listeners = config.listeners.iter();
    let listeners = listeners.filter_map(|one| Some(("listener", one.address, one.tls.as_ref()?)));
    let admin = config.admin.iter();
    let admin = admin.filter_map(|one| Some(("admin", one.address, one.tls.as_ref()?)));
    let served = listeners.chain(admin);
    let served =
        served.map(|(to, address, tls)| (to, address.to_string(), &tls.certificate, tls.span));
    let shown = config.upstreams.iter().flat_map(|upstream| {
        let checks = upstream.health.as_ref().map(|health| &health.tls);
        let checks = checks.and_then(|tls| match tls {
            CheckTls::On(tls) => Some(tls),
            CheckTls::AsRequests | CheckTls::Off => None,
        });
        let both = upstream.tls.iter().chain(checks);
        both.filter_map(|tls| {
            let certificate = &tls.identity.as_ref()?.certificate;
            Some(("upstream", upstream.name.to_string(), certificate, tls.span))
        })
    });
    let mut all = Vec::new();
    for (audience, name, path, span) in served.chain(shown) {
        // A file that cannot be read is reported by its user.
        let Ok(validity) = Validity::of_chain(path) else {
            continue;
        };
        let title = match audience {
            "admin" => "`[admin] tls`".to_owned(),
            _ => format!("{audience} `{name}`"),
        };
        warn(&title, path, &validity, span, problems);
        all.push(ServedCertificate {
            audience,
            name,
            ends_s: validity.ends_s,
        });
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
    let shown = config.listeners.iter().map(|listener| {
        let tls = listener.tls.as_ref()?;
        certificate::names_of(&tls.certificate)
    });
    let Some(shown) = shown.collect::<Option<Vec<_>>>() else {
        return;
    };
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
    if Validity::of_chain(path).is_ok_and(|validity| validity.all_ended(Timestamp::now().unix_s()))
    {
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
