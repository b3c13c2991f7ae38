//! Warnings about settings that are valid, but that hardly anybody intends. Every build gives them, so
//! `windlass check` does too.
//!
//! Each function here looks for one mistake. Next to errors there are no warnings, since a fix of the
//! errors may change them. Mistakes inside one table are found in `config/section`, unused names in
//! `config/check`.

mod bounds;
mod hidden_credentials;
mod keys;
mod metadata;
mod names;
mod route_ends;
mod routes;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use super::backticked::backticked;
use super::granted::grants;
use crate::config::{self, Config, HashKey, Problems, RouteConfig, RouteEnd};
use crate::exchange::HOST_FACTS;
use crate::filter_store::secrets::Secrets;
use crate::route::Router;
use crate::wasm::Filter;

/// All that is known of a configuration when it is looked at.
pub(crate) struct LintContext<'a> {
    /// As it was read.
    pub(crate) config: &'a Config,
    pub(crate) filters: &'a [Option<Arc<Filter>>],
    pub(crate) router: &'a Router,
    pub(crate) secrets: &'a Secrets,
}

pub(crate) fn lint(known: &LintContext<'_>, problems: &mut Problems) {
    for (place, route) in known.config.routes.iter().enumerate() {
        warn_of_raised_timeouts(known.config, route, problems);
        warn_of_repeated_filter(known.config, route, problems);
        warn_of_split_on(known, route, problems);
        route_ends::lint(known, place, route, problems);
        routes::lint(known.config, route, problems);
    }
    for (place, upstream) in known.config.upstreams.iter().enumerate() {
        warn_of_hash_on(known, place, upstream, problems);
        route_ends::ports(upstream, problems);
        route_ends::bounds(upstream, problems);
        route_ends::cookies(known.config, upstream, problems);
        routes::cookie(known.config, place, upstream, problems);
    }
    names::lint(known, problems);
    hidden_credentials::lint(known, problems);
    bounds::lint(known, problems);
    metadata::lint(known.config, problems);
    secrets::lint(known, problems);
    keys::lint(known.config, problems);
    route_ends::files(known.config, problems);
}

/// The most routes that a warning names.
const MAX_ROUTES: usize = 8;

/// Some routes, as a warning names them.
pub(super) fn routes_named(names: &[&str]) -> String {
    let noun = if names.len() == 1 { "route" } else { "routes" };
    let list = backticked(names.iter().take(MAX_ROUTES).copied());
    match names.len().checked_sub(MAX_ROUTES) {
        None | Some(0) => format!("{noun} {list}"),
        Some(more) => format!("{noun} {list} and {more} more"),
    }
}

/// One of an upstream's time-outs.
type ReadTimeout = fn(&config::UpstreamConfig) -> Option<Duration>;

/// A route only lowers what its upstream allows.
fn warn_of_raised_timeouts(config: &Config, route: &RouteConfig, problems: &mut Problems) {
    let groups = upstreams(route);
    let all: Vec<_> = groups
        .filter_map(|place| config.upstreams.get(place))
        .collect();
    let Some(first) = all.first() else { return };
    let bounds: [(&str, Option<Duration>, ReadTimeout); 4] = [
        ("connect_timeout", route.timeouts.connect, |one| {
            Some(one.connect_timeout)
        }),
        ("first_byte_timeout", route.timeouts.first_byte, |one| {
            Some(one.first_byte_timeout)
        }),
        ("idle_timeout", route.timeouts.idle, |one| one.idle_timeout),
        ("total_timeout", route.timeouts.total, |one| {
            one.total_timeout
        }),
    ];
    for (key, wanted, of) in bounds {
        let Some(wanted) = wanted else { continue };
        let is_less = |one: &&config::UpstreamConfig| of(one).is_some_and(|bound| bound < wanted);
        if !all.iter().all(is_less) {
            continue;
        }
        let shown = |time: Duration| humantime::format_duration(time).to_string();
        let bound = of(first).map(shown).unwrap_or_default();
        let message = format!(
            "route `{}`: `{key}` is {}, and a route only lowers what its upstream allows: {bound} holds",
            route.name,
            shown(wanted)
        );
        let help = format!(
            "raise `{key}` of `[upstream.{}]`, or leave it out here",
            first.name
        );
        problems.warning(route.span, message).help(help);
    }
}

/// The upstreams where a route ends.
fn upstreams(route: &RouteConfig) -> impl Iterator<Item = usize> {
    let places: Vec<usize> = match &route.end {
        RouteEnd::Upstream(place) => vec![*place],
        RouteEnd::Split(split) => split.groups.iter().map(|(place, _)| *place).collect(),
        RouteEnd::Respond(_) | RouteEnd::Redirect(_) => Vec::new(),
    };
    places.into_iter()
}

/// A filter that runs twice also counts twice.
fn warn_of_repeated_filter(config: &Config, route: &RouteConfig, problems: &mut Problems) {
    for (place, reference) in route.filters.iter().enumerate() {
        let mut before = route.filters.iter().take(place);
        if !before.any(|other| other.filter == reference.filter) {
            continue;
        }
        let name = config.filters.get(reference.filter);
        let name = name.map_or("", |filter| &filter.name);
        let message = format!(
            "route `{}`: filter `{name}` stands in `filters` twice, and runs twice for each request",
            route.name
        );
        problems
            .warning(reference.span, message)
            .help("leave one of them out; what a plan counts would be counted twice");
    }
}

/// Whether anything on the way of a route's requests can set an attribute.
fn can_set(known: &LintContext<'_>, route: &RouteConfig, name: &str) -> bool {
    let by_filter = |reference: &config::FilterReference| {
        let loaded = known.filters.get(reference.filter).and_then(Option::as_ref);
        let is_told = loaded.is_some_and(|filter| {
            let facts = filter.facts();
            let told = facts.provides.iter().chain(&facts.sometimes);
            told.into_iter().any(|known| known == name)
        });
        let filter = known.config.filters.get(reference.filter);
        is_told || filter.is_some_and(|filter| grants(known.config, filter).attribute(name))
    };
    if let Some(variable) = name.strip_prefix("api.variable.") {
        let api = route.api.and_then(|place| known.config.apis.get(place));
        return api.is_some_and(|api| api.variables.contains_key(variable));
    }
    HOST_FACTS.contains(&name) || route.filters.iter().any(by_filter)
}

/// `warn_of_split_on` names an attribute that none of the route's requests has.
fn warn_of_split_on(known: &LintContext<'_>, route: &RouteConfig, problems: &mut Problems) {
    let RouteEnd::Split(split) = &route.end else {
        return;
    };
    if let Some(HashKey::Attribute(name)) = &split.on
        && !can_set(known, route, name)
    {
        let message = format!(
            "route `{}`: `split_on` names the attribute `{name}`, which no filter of the route sets: its requests are shared by chance",
            route.name
        );
        let help = format!(
            "add a filter that sets `{name}` to the route's `filters`, or split on something else"
        );
        problems.warning(route.span, message).help(help);
    }
}

/// `warn_of_hash_on` names an attribute that no request which comes here has.
fn warn_of_hash_on(
    known: &LintContext<'_>,
    place: usize,
    upstream: &config::UpstreamConfig,
    problems: &mut Problems,
) {
    if upstream.balance.policy != config::BalancePolicy::ConsistentHash {
        return;
    }
    let HashKey::Attribute(name) = &upstream.balance.hash_on else {
        return;
    };
    let routes = known.config.routes.iter();
    let mut routes = routes
        .filter(|route| upstreams(route).any(|end| end == place))
        .peekable();
    if routes.peek().is_none() || routes.any(|route| can_set(known, route, name)) {
        return;
    }
    let message = format!(
        "upstream `{}`: `hash_on` names the attribute `{name}`, which no filter of a route that leads here sets: its requests are spread by weight",
        upstream.name
    );
    let help =
        format!("add a filter that sets `{name}` to those routes, or hash on something else");
    let span = upstream
        .endpoints
        .first()
        .map_or_else(config::Span::default, |one| one.span);
    problems.warning(span, message).help(help);
}
