//! Routes that take less than they seem to, bounds of a route that are never reached, and cookies that
//! none of their clients keeps or sends back.

use std::time::Duration;

use super::upstreams;
use crate::config::{self, Config, Problems, RouteConfig, RouteEnd, StickyBy};
use crate::model::plan::RateLimit;

pub(super) fn lint(config: &Config, route: &RouteConfig, problems: &mut Problems) {
    slash(config, route, problems);
    front_page(route, problems);
    rate(config.server.rate, route, problems);
    total(route, problems);
    retried(config, route, problems);
}

/// A path with a `/` at its end, which elsewhere stands for all below it.
fn slash(config: &Config, route: &RouteConfig, problems: &mut Problems) {
    let goes_on = matches!(route.end, RouteEnd::Upstream(_) | RouteEnd::Split(_));
    if !goes_on || route.path == "/" || !route.path.ends_with('/') {
        return;
    }
    let mut others = config.routes.iter().filter(|other| other.api == route.api);
    let is_below = |other: &RouteConfig| {
        other.path.len() > route.path.len() && other.path.starts_with(&route.path)
    };
    if others.any(is_below) {
        return;
    }
    let message = format!(
        "route `{}`: its path ends in `/` and takes this one path only, none below it",
        route.name
    );
    problems.warning(route.path_span, message).help(format!(
        "for all paths below it write `\"{}{{rest+}}\"`",
        route.path
    ));
}

/// A redirect of many paths that loses them.
fn front_page(route: &RouteConfig, problems: &mut Problems) {
    let RouteEnd::Redirect(redirect) = &route.end else {
        return;
    };
    let is_one = route.path != "$default" && !route.path.contains('{');
    let host = redirect.to.split_once("://").map(|(_, rest)| rest);
    if is_one || host.is_none_or(|host| host.contains(['/', '?', '#', '$'])) {
        return;
    }
    let message = format!(
        "route `{}`: its redirect to `{}` leaves out the path: every request is sent to the front page",
        route.name, redirect.to
    );
    problems.warning(route.span, message).help(format!(
        "write `\"{0}${{path}}${{query}}\"`, or `\"{0}/\"` if the front page is meant",
        redirect.to
    ));
}

/// A rate beyond that of the whole gateway.
fn rate(whole: Option<RateLimit>, route: &RouteConfig, problems: &mut Problems) {
    let (Some(whole), Some(own)) = (whole, route.rate) else {
        return;
    };
    if own.per_second > whole.per_second && own.burst >= whole.burst {
        let message = format!(
            "route `{}`: `rate` is {}, and that of `[server]` ({}), which all routes share, ends it before",
            route.name, own.per_second, whole.per_second
        );
        problems
            .warning(route.span, message)
            .help("lower it, or raise `rate` of `[server]`");
    }
}

/// A wait of the route that its own end of all cuts short.
fn total(route: &RouteConfig, problems: &mut Problems) {
    let times = &route.timeouts;
    let Some(total) = times.total else { return };
    let waits = [
        ("connect_timeout", times.connect),
        ("first_byte_timeout", times.first_byte),
    ];
    for (key, wait) in waits {
        if wait.is_some_and(|wait| wait > total) {
            let message = format!(
                "route `{}`: `{key}` is longer than `total_timeout`, which ends the exchange before",
                route.name
            );
            problems
                .warning(route.span, message)
                .help(format!("raise `total_timeout`, or lower `{key}`"));
        }
    }
}

/// A route that leaves no time for the retries of its upstream.
fn retried(config: &Config, route: &RouteConfig, problems: &mut Problems) {
    let times = &route.timeouts;
    let bounds = [
        ("first_byte_timeout", times.first_byte),
        ("total_timeout", times.total),
    ];
    let least = bounds
        .into_iter()
        .filter_map(|(key, time)| Some((time?, key)))
        .min();
    let Some((bound, key)) = least else { return };
    for place in upstreams(route) {
        let Some(upstream) = config.upstreams.get(place) else {
            continue;
        };
        let Some(each) = upstream.retries.try_timeout else {
            continue;
        };
        // Told of the upstream itself otherwise.
        let has_room = |all: Duration| each < all;
        let is_meant =
            has_room(upstream.first_byte_timeout) && upstream.total_timeout.is_none_or(has_room);
        if upstream.retries.attempts > 1 && is_meant && each >= bound {
            let shown = |time| humantime::format_duration(time).to_string();
            let message = format!(
                "route `{}`: `{key}` ({}) leaves no time for another attempt: the first one has `retries.try_timeout` ({}) of upstream `{}`",
                route.name,
                shown(bound),
                shown(each),
                upstream.name
            );
            problems
                .warning(route.span, message)
                .help(format!("raise `{key}`, or lower `try_timeout`"));
        }
    }
}

/// A cookie of an upstream that no client sends back to it, or that browsers drop.
pub(super) fn cookie(
    config: &Config,
    place: usize,
    upstream: &config::UpstreamConfig,
    problems: &mut Problems,
) {
    let Some(sticky) = &upstream.balance.sticky else {
        return;
    };
    // A filter may send any request there.
    let mut allowed = config
        .filters
        .iter()
        .filter_map(|filter| filter.allow.as_ref());
    let is_cookie = matches!(sticky.by, StickyBy::Cookie(_));
    if !is_cookie || allowed.any(|allow| allow.upstreams.contains(&place)) {
        return;
    }
    let routes = config.routes.iter();
    let routes: Vec<&RouteConfig> = routes
        .filter(|route| upstreams(route).any(|end| end == place))
        .collect();
    if routes.is_empty() {
        return;
    }
    let cookie = &sticky.cookie;
    let full = |route: &RouteConfig| {
        let api = route.api.and_then(|place| config.apis.get(place));
        let base = api.and_then(|api| api.base_path.clone());
        (base.unwrap_or_default(), route.path.clone())
    };
    let is_sent = |route: &&RouteConfig| {
        let (base, path) = full(route);
        may_be_below(&base, &path, &cookie.path)
    };
    if !routes.iter().any(is_sent) {
        let message = format!(
            "upstream `{}`: the cookie of `sticky` is for `path = \"{}\"`, below which no route that leads here is: clients never send it back",
            upstream.name, cookie.path
        );
        problems
            .warning(sticky.span, message)
            .help("write what the paths of those routes begin with, or leave `path` out");
    }
    if let Some(domain) = &cookie.domain
        && routes.iter().all(|route| {
            let mut hosts = route.hosts.iter();
            !route.hosts.is_empty() && !hosts.any(|host| may_be_within(host, domain))
        })
    {
        let message = format!(
            "upstream `{}`: the cookie of `sticky` is for `domain = \"{domain}\"`, in which no host of a route that leads here is: browsers drop it",
            upstream.name
        );
        problems
            .warning(sticky.span, message)
            .help("write a domain that those hosts end in, or leave `domain` out");
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
