//! Routes that take less than they seem to, bounds of a route that are never reached, and cookies that
//! none of their clients keeps or sends back.

use std::time::Duration;

use super::{Lint, shown};
use crate::config::{RouteConfig, RouteEnd, StickyBy, UpstreamConfig};

impl Lint<'_> {
    pub(super) fn route(&mut self, route: &RouteConfig) {
        self.lone_slash(route);
        self.front_page(route);
        self.higher_rate(route);
        self.short_total(route);
        self.no_time_for_retries(route);
    }

    /// A path with a `/` at its end, which elsewhere stands for all below it.
    fn lone_slash(&mut self, route: &RouteConfig) {
        let goes_on = matches!(route.end, RouteEnd::Upstream(_) | RouteEnd::Split(_));
        if !goes_on || route.path == "/" || !route.path.ends_with('/') {
            return;
        }
        let mut others = self.config.routes.iter();
        let is_below = |other: &RouteConfig| {
            other.api == route.api
                && other.path.len() > route.path.len()
                && other.path.starts_with(&route.path)
        };
        if others.any(is_below) {
            return;
        }
        self.warn(
            route,
            "its path ends in `/` and takes this one path only, none below it",
        )
        .at(route.path_span)
        .help(format!(
            "for all paths below it write `\"{}{{rest+}}\"`",
            route.path
        ));
    }

    /// A redirect of many paths that loses them.
    fn front_page(&mut self, route: &RouteConfig) {
        let RouteEnd::Redirect(redirect) = &route.end else {
            return;
        };
        let (to, path) = (&redirect.to, &route.path);
        let is_one = path != "$default" && !path.contains('{');
        let host = to.split_once("://").map(|(_, rest)| rest);
        if is_one || host.is_none_or(|host| host.contains(['/', '?', '#', '$'])) {
            return;
        }
        let message = format!(
            "its redirect to `{to}` leaves out the path: every request is sent to the front page"
        );
        self.warn(route, message).help(format!(
            "write `\"{to}${{path}}${{query}}\"`, or `\"{to}/\"` if the front page is meant"
        ));
    }

    /// A rate beyond that of the whole gateway.
    fn higher_rate(&mut self, route: &RouteConfig) {
        let (Some(whole), Some(own)) = (self.config.server.rate, route.rate) else {
            return;
        };
        if own.per_second > whole.per_second && own.burst >= whole.burst {
            let message = format!(
                "`rate` is {}, and that of `[server]` ({}), which all routes share, ends it before",
                own.per_second, whole.per_second
            );
            self.warn(route, message)
                .help("lower it, or raise `rate` of `[server]`");
        }
    }

    /// A wait of the route that its own end of all cuts short.
    fn short_total(&mut self, route: &RouteConfig) {
        let times = &route.timeouts;
        let Some(total) = times.total else { return };
        let waits = [
            ("connect_timeout", times.connect),
            ("first_byte_timeout", times.first_byte),
        ];
        for (key, wait) in waits {
            if wait.is_some_and(|wait| wait > total) {
                let message = format!(
                    "`{key}` is longer than `total_timeout`, which ends the exchange before"
                );
                self.warn(route, message)
                    .help(format!("raise `total_timeout`, or lower `{key}`"));
            }
        }
    }

    /// A route that leaves no time for the retries of its upstream.
    fn no_time_for_retries(&mut self, route: &RouteConfig) {
        let times = &route.timeouts;
        let bounds = [
            ("first_byte_timeout", times.first_byte),
            ("total_timeout", times.total),
        ];
        let bounds = bounds
            .into_iter()
            .filter_map(|(key, time)| Some((time?, key)));
        let Some((bound, key)) = bounds.min() else {
            return;
        };
        for index in route.end.upstreams() {
            let Some(upstream) = self.config.upstreams.get(index) else {
                continue;
            };
            let Some(each) = upstream.retries.try_timeout else {
                continue;
            };
            // The upstream itself has the warning otherwise.
            let has_room = |all: Duration| each < all;
            let is_meant = has_room(upstream.first_byte_timeout)
                && upstream.total_timeout.is_none_or(has_room);
            if upstream.retries.attempts > 1 && is_meant && each >= bound {
                let message = format!(
                    "`{key}` ({}) leaves no time for another attempt: the first one has `retries.try_timeout` ({}) of upstream `{}`",
                    shown(bound),
                    shown(each),
                    upstream.name
                );
                self.warn(route, message)
                    .help(format!("raise `{key}`, or lower `try_timeout`"));
            }
        }
    }

    /// A cookie of an upstream that no client sends back to it, or that browsers drop.
    pub(super) fn unsent_cookie(&mut self, index: usize, upstream: &UpstreamConfig) {
        let config = self.config;
        let Some(sticky) = &upstream.balance.sticky else {
            return;
        };
        // A filter may send any request there.
        let allowed = config.filters.iter();
        let mut allowed = allowed.filter_map(|filter| filter.allow.as_ref());
        let is_cookie = matches!(sticky.by, StickyBy::Cookie(_));
        let routes = self.routes_to(index);
        if !is_cookie || routes.is_empty() || allowed.any(|allow| allow.upstreams.contains(&index))
        {
            return;
        }
        let cookie = &sticky.cookie;
        let is_sent =
            |route: &&RouteConfig| may_be_below(route.base_path(config), &route.path, &cookie.path);
        if !routes.iter().any(is_sent) {
            let message = format!(
                "the cookie of `sticky` is for `path = \"{}\"`, below which no route that leads here is: clients never send it back",
                cookie.path
            );
            self.warn(upstream, message)
                .at(sticky.span)
                .help("write what the paths of those routes begin with, or leave `path` out");
        }
        if let Some(domain) = &cookie.domain
            && routes.iter().all(|route| {
                let mut hosts = route.hosts.iter();
                !route.hosts.is_empty() && !hosts.any(|host| may_be_within(host, domain))
            })
        {
            let message = format!(
                "the cookie of `sticky` is for `domain = \"{domain}\"`, in which no host of a route that leads here is: browsers drop it"
            );
            self.warn(upstream, message)
                .at(sticky.span)
                .help("write a domain that those hosts end in, or leave `domain` out");
        }
    }
}

/// Whether a request of this route may have a path below that of a cookie (RFC 6265 section 5.1.4).
fn may_be_below(base: &str, path: &str, cookie: &str) -> bool {
    let wanted = cookie.trim_end_matches('/').split('/').skip(1);
    let is_default = path == "$default";
    let pattern = if is_default { "/{rest+}" } else { path };
    let mut there = base.split('/').skip(1).chain(pattern.split('/').skip(1));
    for segment in wanted {
        match there.next() {
            Some(name) if name.ends_with("+}") => return true,
            Some(name) if name.starts_with('{') || name == segment => {}
            Some(_) | None => return false,
        }
    }
    true
}

/// Whether a host, or one below `*.`, may be in a domain.
fn may_be_within(host: &str, domain: &str) -> bool {
    let is_within = |name: &str, domain: &str| {
        name.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    match host.strip_prefix("*.") {
        Some(all) => is_within(all, domain) || is_within(domain, all),
        None => is_within(host, domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_with_the_paths_below_its_own() {
        for (base, path, cookie, is) in [
            ("", "/shop/{id}", "/shop", true),
            ("", "/shop", "/shop", true),
            ("", "/shop", "/shop/", true),
            ("", "/shopping", "/shop", false),
            ("", "/orders", "/shop", false),
            ("", "/{any}", "/shop", true),
            ("", "/{any}", "/shop/a", false),
            ("", "/{rest+}", "/shop/a", true),
            ("", "$default", "/shop/a", true),
            ("/shop", "/orders", "/shop", true),
            ("/shop", "$default", "/other", false),
            ("", "/orders", "/", true),
        ] {
            assert_eq!(
                may_be_below(base, path, cookie),
                is,
                "{base} {path} {cookie}"
            );
        }
    }

    #[test]
    fn a_host_is_within_a_domain() {
        for (host, domain, is) in [
            ("api.example.com", "example.com", true),
            ("example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.org", "example.com", false),
            ("*.example.com", "example.com", true),
            ("*.com", "example.com", true),
            ("example.com", "api.example.com", false),
        ] {
            assert_eq!(may_be_within(host, domain), is, "{host} {domain}");
        }
    }
}
