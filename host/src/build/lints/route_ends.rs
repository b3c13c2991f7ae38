//! Mistakes where a request ends: answers that loop or lack something, endpoints that speak otherwise,
//! cookies that browsers drop, files of two uses.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};

use super::LintContext;
use crate::config::{
    self, Config, FixedResponse, Problems, Redirect, RouteConfig, RouteEnd, StickyBy,
};

/// The response that a route gives itself.
pub(super) fn lint(
    known: &LintContext<'_>,
    place: usize,
    route: &RouteConfig,
    problems: &mut Problems,
) {
    match &route.end {
        RouteEnd::Redirect(redirect) => redirects(known, place, route, redirect, problems),
        RouteEnd::Respond(answer) => answers(route, answer, problems),
        RouteEnd::Upstream(_) | RouteEnd::Split(_) => {}
    }
}

/// A redirect whose target is this route again.
fn redirects(
    known: &LintContext<'_>,
    place: usize,
    route: &RouteConfig,
    redirect: &Redirect,
    problems: &mut Problems,
) {
    let api = route.api.and_then(|place| known.config.apis.get(place));
    let base = api
        .and_then(|api| api.base_path.as_deref())
        .unwrap_or_default();
    let path = sample(base, &route.path);
    let host = route.hosts.first().map_or("windlass.invalid", |host| host);
    let host = host.replace('*', "a");
    let to = redirect
        .to
        .replace("${path}", &path)
        .replace("${query}", "");
    let (to_host, to_path) = match to.split_once("://") {
        None => (host.clone(), &*to),
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let name = authority
                .rsplit_once(':')
                .map_or(authority, |(name, _)| name);
            // Which other names lead here nobody knows, but those that routes have.
            let is_ours = known
                .config
                .routes
                .iter()
                .any(|route| route.hosts.iter().any(|host| host == name));
            let tls = known
                .config
                .listeners
                .iter()
                .map(|listener| listener.tls.is_some());
            let speaks = tls.into_iter().any(|tls| tls == (scheme == "https"));
            let others = known
                .config
                .listeners
                .iter()
                .any(|listener| listener.tls.is_some() != (scheme == "https"));
            if !is_ours || !speaks || others {
                return;
            }
            (name.to_owned(), if path.is_empty() { "/" } else { path })
        }
    };
    let method = route.methods.first().cloned().unwrap_or(Method::GET);
    let found = known.router.find(&to_host, &method, to_path);
    if found.is_ok_and(|found| found.route == place) {
        let message = format!(
            "route `{}`: its redirect to `{}` leads to the same route: clients go round until they give up",
            route.name, redirect.to
        );
        problems
            .warning(route.span, message)
            .help("redirect to a path or a host that another route has");
    }
}

/// A path that a pattern takes.
fn sample(base: &str, pattern: &str) -> String {
    if pattern == "$default" {
        return format!("{base}/x");
    }
    let segments = pattern.split('/').map(|segment| {
        if segment.starts_with('{') {
            "x"
        } else {
            segment
        }
    });
    format!("{base}{}", segments.collect::<Vec<_>>().join("/"))
}

/// Fixed answers that lack something.
fn answers(route: &RouteConfig, answer: &FixedResponse, problems: &mut Problems) {
    let status = answer.status;
    let redirects = [301, 302, 303, 307, 308];
    if redirects.contains(&status.as_u16()) && !answer.headers.contains_key(header::LOCATION) {
        let message = format!(
            "route `{}`: `respond` has status {} and no `location`: clients do not know where to go",
            route.name,
            status.as_u16()
        );
        problems
            .warning(route.span, message)
            .help("write `redirect = { to = \"..\" }` instead of `respond`");
    }
    if status == StatusCode::UNAUTHORIZED && !has(&answer.headers, &header::WWW_AUTHENTICATE) {
        let message = format!(
            "route `{}`: `respond` has status 401 and no `www-authenticate`, which such an answer must have (RFC 9110 section 15.5.2)",
            route.name
        );
        problems
            .warning(route.span, message)
            .help("add the field, or write `status = 403`");
    }
}

fn has(headers: &HeaderMap, name: &header::HeaderName) -> bool {
    headers.contains_key(name)
}

/// Endpoints at no address, or at the port of a scheme that is not spoken with them.
pub(super) fn ports(upstream: &config::UpstreamConfig, problems: &mut Problems) {
    for endpoint in &upstream.endpoints {
        let address = endpoint.address.parse::<SocketAddr>();
        if address.is_ok_and(|address| address.ip().is_unspecified()) {
            let message = format!(
                "upstream `{}`: endpoint `{}` is an address to listen on, not one to connect to",
                upstream.name, endpoint.address
            );
            problems
                .warning(endpoint.span, message)
                .help("for this machine write `127.0.0.1`");
        }
        let (what, help) = match upstream.tls {
            None if endpoint.address.ends_with(":443") => (
                "the port of TLS, and clear text is spoken with it",
                "add `tls = true`",
            ),
            Some(_) if endpoint.address.ends_with(":80") => (
                "the port of clear text, and TLS is spoken with it",
                "write port 443, or leave `tls` out",
            ),
            Some(_) | None => continue,
        };
        let message = format!(
            "upstream `{}`: endpoint `{}` is at {what}",
            upstream.name, endpoint.address
        );
        problems.warning(endpoint.span, message).help(help);
    }
}

/// Settings of an upstream that undo each other.
pub(super) fn bounds(upstream: &config::UpstreamConfig, problems: &mut Problems) {
    let span = upstream
        .endpoints
        .first()
        .map_or_else(config::Span::default, |one| one.span);
    let retries = &upstream.retries;
    if retries.attempts > 1 && retries.budget == 0 && retries.budget_rate == 0 {
        let message = format!(
            "upstream `{}`: `retries` has no budget, so that nothing is ever tried again",
            upstream.name
        );
        problems
            .warning(span, message)
            .help("leave `budget` or `budget_rate` out, or write `attempts = 1`");
    }
    // The default is no mistake.
    let wanted = upstream.first_byte_timeout;
    if let Some(total) = upstream.total_timeout
        && total < wanted
        && wanted != FIRST_BYTE
    {
        let message = format!(
            "upstream `{}`: `first_byte_timeout` is longer than `total_timeout`, which ends the exchange before",
            upstream.name
        );
        problems
            .warning(span, message)
            .help("raise `total_timeout`, or lower `first_byte_timeout`");
    }
}

/// The default of `first_byte_timeout`.
const FIRST_BYTE: Duration = Duration::from_secs(30);

/// A cookie with `Secure` that no browser gets over TLS.
pub(super) fn cookies(config: &Config, upstream: &config::UpstreamConfig, problems: &mut Problems) {
    let Some(sticky) = &upstream.balance.sticky else {
        return;
    };
    // Browsers keep such cookies of this machine, and a proxy in front may end TLS.
    let is_local = |address: SocketAddr| address.ip().is_loopback();
    let mut listeners = config.listeners.iter();
    let is_clear = listeners.all(|listener| listener.tls.is_none() && !is_local(listener.address));
    let is_cookie = matches!(sticky.by, StickyBy::Cookie(_)) && sticky.cookie.secure;
    if is_cookie && is_clear && config.server.trusted_proxies.is_empty() {
        let message = format!(
            "upstream `{}`: the cookie of `sticky` is for TLS only (`secure`), and no listener speaks TLS: browsers drop it",
            upstream.name
        );
        problems
            .warning(sticky.span, message)
            .help("give the listener `tls`, list the proxy that ends TLS in `[server] trusted_proxies`, or write `secure = false`");
    }
}

/// One file for two things, and the operator's listener for everybody.
pub(super) fn files(config: &Config, problems: &mut Problems) {
    if let (Some(store), config::AccessLog::File(log)) = (&config.store, &config.log.access)
        && let config::StorePlace::Sqlite(path) = &store.place
        && path == log
    {
        let message = format!(
            "`[store] path` and `[log] access` name the same file, `{}`",
            path.display()
        );
        problems
            .error(store.span, message)
            .help("give each a file of its own");
    }
    let Some(admin) = &config.admin else { return };
    for upstream in &config.upstreams {
        for endpoint in &upstream.endpoints {
            let Ok(address) = endpoint.address.parse::<SocketAddr>() else {
                continue;
            };
            let same = address.ip() == admin.address.ip()
                || (admin.address.ip().is_unspecified() && address.ip().is_loopback());
            if same && address.port() == admin.address.port() && address.port() != 0 {
                let message = format!(
                    "upstream `{}`: endpoint `{address}` is the operator's listener (`[admin] address`): clients reach it, and it takes them for this machine",
                    upstream.name
                );
                problems
                    .warning(endpoint.span, message)
                    .help("take the endpoint out; who may see `/metrics` asks the operator's listener itself");
            }
        }
    }
}
