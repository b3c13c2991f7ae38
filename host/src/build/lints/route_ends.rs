//! Mistakes where a request ends: answers that loop or lack something, endpoints that speak otherwise,
//! cookies that browsers drop, files of two uses.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, StatusCode, header};

use super::Lint;
use crate::config::{
    self, FixedResponse, Redirect, RouteConfig, RouteEnd, StickyBy, UpstreamConfig,
};

/// The default of `first_byte_timeout`.
const FIRST_BYTE: Duration = Duration::from_secs(30);

impl Lint<'_> {
    /// The response that a route gives itself.
    pub(super) fn route_end(&mut self, index: usize, route: &RouteConfig) {
        match &route.end {
            RouteEnd::Redirect(redirect) => self.redirect_to_itself(index, route, redirect),
            RouteEnd::Respond(response) => self.fixed_response(route, response),
            RouteEnd::Upstream(_) | RouteEnd::Split(_) => {}
        }
    }

    /// A redirect whose target is this route again.
    fn redirect_to_itself(&mut self, index: usize, route: &RouteConfig, redirect: &Redirect) {
        let path = sample(route.base_path(self.config), &route.path);
        let host = route.hosts.first().map_or("windlass.invalid", |host| host);
        let host = host.replace('*', "a");
        let to = redirect
            .to
            .replace("${path}", &path)
            .replace("${query}", "");
        let (to_host, to_path) = match to.split_once("://") {
            None => (host.as_str(), &*to),
            Some((scheme, rest)) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(end);
                let name = authority
                    .rsplit_once(':')
                    .map_or(authority, |(name, _)| name);
                // Which other names lead here nobody knows, but those that routes have.
                let mut hosts = self.config.routes.iter().flat_map(|route| &route.hosts);
                let mut listeners = self.config.listeners.iter();
                let all_speak =
                    listeners.all(|listener| listener.tls.is_some() == (scheme == "https"));
                if !all_speak || self.config.listeners.is_empty() || !hosts.any(|host| host == name)
                {
                    return;
                }
                (name, if path.is_empty() { "/" } else { path })
            }
        };
        let method = route.methods.first().unwrap_or(&Method::GET);
        let found = self.router.find(to_host, method, to_path);
        if found.is_ok_and(|found| found.route == index) {
            let message = format!(
                "its redirect to `{}` leads to the same route: clients go round until they give up",
                redirect.to
            );
            self.warn(route, message)
                .help("redirect to a path or a host that another route has");
        }
    }

    /// Fixed responses that lack something.
    fn fixed_response(&mut self, route: &RouteConfig, response: &FixedResponse) {
        let (status, headers) = (response.status, &response.headers);
        let redirects = [301, 302, 303, 307, 308];
        if redirects.contains(&status.as_u16()) && !headers.contains_key(header::LOCATION) {
            let message = format!(
                "`respond` has status {} and no `location`: clients do not know where to go",
                status.as_u16()
            );
            self.warn(route, message)
                .help("write `redirect = { to = \"..\" }` instead of `respond`");
        }
        if status == StatusCode::UNAUTHORIZED && !headers.contains_key(header::WWW_AUTHENTICATE) {
            let message = "`respond` has status 401 and no `www-authenticate`, which such an answer must have (RFC 9110 section 15.5.2)";
            self.warn(route, message)
                .help("add the field, or write `status = 403`");
        }
    }

    /// Endpoints at no address, or at the port of a scheme that is not spoken with them.
    pub(super) fn ports(&mut self, upstream: &UpstreamConfig) {
        for endpoint in &upstream.endpoints {
            let name = &endpoint.address;
            let socket = endpoint.socket();
            if socket.is_some_and(|socket| socket.ip().is_unspecified()) {
                let message =
                    format!("endpoint `{name}` is an address to listen on, not one to connect to");
                self.warn(upstream, message)
                    .at(endpoint.span)
                    .help("for this machine write `127.0.0.1`");
            }
            let (what, help) = match upstream.tls {
                None if name.ends_with(":443") => (
                    "the port of TLS, and clear text is spoken with it",
                    "add `tls = true`",
                ),
                Some(_) if name.ends_with(":80") => (
                    "the port of clear text, and TLS is spoken with it",
                    "write port 443, or leave `tls` out",
                ),
                Some(_) | None => continue,
            };
            let message = format!("endpoint `{name}` is at {what}");
            self.warn(upstream, message).at(endpoint.span).help(help);
        }
    }

    /// Settings of an upstream that undo each other.
    pub(super) fn upstream_bounds(&mut self, upstream: &UpstreamConfig) {
        let retries = &upstream.retries;
        if retries.attempts > 1 && retries.budget == 0 && retries.budget_rate == 0 {
            let message = "`retries` has no budget, so that nothing is ever tried again";
            self.warn(upstream, message)
                .help("leave `budget` or `budget_rate` out, or write `attempts = 1`");
        }
        // The default is no mistake.
        let wanted = upstream.first_byte_timeout;
        if upstream.total_timeout.is_some_and(|total| total < wanted) && wanted != FIRST_BYTE {
            let message = "`first_byte_timeout` is longer than `total_timeout`, which ends the exchange before";
            self.warn(upstream, message)
                .help("raise `total_timeout`, or lower `first_byte_timeout`");
        }
    }

    /// A cookie with `Secure` that no browser gets over TLS.
    pub(super) fn secure_cookie(&mut self, upstream: &UpstreamConfig) {
        let Some(sticky) = &upstream.balance.sticky else {
            return;
        };
        // Browsers keep such cookies of this machine, and a proxy in front may end TLS.
        let is_local = |address: SocketAddr| address.ip().is_loopback();
        let mut listeners = self.config.listeners.iter();
        let is_clear =
            listeners.all(|listener| listener.tls.is_none() && !is_local(listener.address));
        let is_cookie = matches!(sticky.by, StickyBy::Cookie(_)) && sticky.cookie.secure;
        if is_cookie && is_clear && self.config.server.trusted_proxies.is_empty() {
            let message = "the cookie of `sticky` is for TLS only (`secure`), and no listener speaks TLS: browsers drop it";
            self.warn(upstream, message)
                .at(sticky.span)
                .help("give the listener `tls`, list the proxy that ends TLS in `[server] trusted_proxies`, or write `secure = false`");
        }
    }

    /// One file for two things, and the operator's listener for everybody.
    pub(super) fn files(&mut self) {
        let config = self.config;
        if let (Some(store), config::AccessLog::File(log)) = (&config.store, &config.log.access)
            && let config::StorePlace::Sqlite(path) = &store.place
            && path == log
        {
            let message = format!(
                "`[store] path` and `[log] access` name the same file, `{}`",
                path.display()
            );
            self.problems
                .error(store.span, message)
                .help("give each a file of its own");
        }
        let Some(admin) = &config.admin else { return };
        for upstream in &config.upstreams {
            for endpoint in &upstream.endpoints {
                let Some(address) = endpoint.socket() else {
                    continue;
                };
                let same = address.ip() == admin.address.ip()
                    || (admin.address.ip().is_unspecified() && address.ip().is_loopback());
                if same && address.port() == admin.address.port() && address.port() != 0 {
                    let message = format!(
                        "endpoint `{address}` is the operator's listener (`[admin] address`): clients reach it, and it takes them for this machine"
                    );
                    self.warn(upstream, message)
                        .at(endpoint.span)
                        .help("take the endpoint out; who may see `/metrics` asks the operator's listener itself");
                }
            }
        }
    }
}

/// A path that a pattern takes.
fn sample(base: &str, pattern: &str) -> String {
    if pattern == "$default" {
        return format!("{base}/x");
    }
    let segments = pattern.split('/');
    let segments = segments.map(|segment| match segment.starts_with('{') {
        true => "x",
        false => segment,
    });
    format!("{base}{}", segments.collect::<Vec<_>>().join("/"))
}
