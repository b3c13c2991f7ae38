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
mod route_order;
mod routes;
mod secrets;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::granted::{grants, settable};
use crate::config::{
    self, BalancePolicy, Config, FilterConfig, HashKey, Problem, Problems, RouteConfig, RouteEnd,
    Subject, UpstreamConfig, backticked,
};
use crate::exchange::HOST_FACTS;
use crate::filter_store::secrets::Secrets;
use crate::route::Router;
use crate::wasm::Filter;

/// A configuration that was built, and the report on it.
pub(crate) struct Lint<'a> {
    /// As it was read.
    pub(crate) config: &'a Config,
    pub(crate) filters: &'a [Option<Arc<Filter>>],
    pub(crate) router: &'a Router,
    pub(crate) secrets: &'a Secrets,
    pub(crate) problems: &'a mut Problems,
}

/// A filter that routes use.
#[derive(Clone)]
struct UsedFilter<'a> {
    filter: &'a FilterConfig,
    loaded: Option<&'a Filter>,
    routes: Vec<&'a RouteConfig>,
}

impl Lint<'_> {
    pub(crate) fn run(&mut self) {
        for (index, route) in self.config.routes.iter().enumerate() {
            self.raised_timeouts(route);
            self.repeated_filter(route);
            self.split_on(route);
            self.route_end(index, route);
            self.route(route);
        }
        for (index, upstream) in self.config.upstreams.iter().enumerate() {
            self.hash_on(index, upstream);
            self.ports(upstream);
            self.upstream_bounds(upstream);
            self.secure_cookie(upstream);
            self.unsent_cookie(index, upstream);
        }
        self.route_order();
        self.names();
        self.hidden_credentials();
        self.filter_bounds();
        self.metadata();
        self.secret_values();
        self.keys();
        self.files();
    }
}

/// The most routes that a warning names.
const MAX_ROUTES: usize = 8;

/// Some routes, as a warning names them.
pub(super) fn routes_named(names: &[&str]) -> String {
    some_routes(names, MAX_ROUTES)
}

/// The first routes by name, and how many there are beside them.
pub(super) fn some_routes(names: &[&str], most: usize) -> String {
    let noun = if names.len() == 1 { "route" } else { "routes" };
    let list = backticked(names.iter().take(most).copied());
    match names.len().checked_sub(most) {
        None | Some(0) => format!("{noun} {list}"),
        Some(more) => format!("{noun} {list} and {more} more"),
    }
}

/// Says that there are more keys than the one that a warning names.
pub(super) fn more_keys(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " (and one more key)".to_owned(),
        more => format!(" (and {more} more keys)"),
    }
}

/// One of an upstream's time-outs.
type ReadTimeout = fn(&UpstreamConfig) -> Option<Duration>;

impl<'a> Lint<'a> {
    /// Warns of a table; its name comes before the message.
    fn warn(&mut self, subject: &impl Subject, message: impl fmt::Display) -> &mut Problem {
        self.problems.warning_of(subject, message)
    }

    /// The filters that routes use. Those that no route uses were reported.
    fn used_filters(&self) -> Vec<UsedFilter<'a>> {
        let (config, filters) = (self.config, self.filters);
        let all = config.filters.iter().zip(filters).enumerate();
        let used = all.map(|(index, (filter, loaded))| UsedFilter {
            filter,
            loaded: loaded.as_deref(),
            routes: config
                .routes
                .iter()
                .filter(|route| route.filters.iter().any(|one| one.filter == index))
                .collect(),
        });
        used.filter(|used| !used.routes.is_empty()).collect()
    }

    /// The routes that lead to an upstream.
    fn routes_to(&self, upstream: usize) -> Vec<&'a RouteConfig> {
        let config = self.config;
        let routes = config.routes.iter();
        routes
            .filter(|route| route.end.upstreams().any(|index| index == upstream))
            .collect()
    }

    /// A route only lowers the time-outs that its upstream allows.
    fn raised_timeouts(&mut self, route: &RouteConfig) {
        let groups = route.end.upstreams();
        let all: Vec<_> = groups
            .filter_map(|index| self.config.upstreams.get(index))
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
            let is_less = |one: &&UpstreamConfig| of(one).is_some_and(|bound| bound < wanted);
            if !all.iter().all(is_less) {
                continue;
            }
            let bound = of(first).map(shown).unwrap_or_default();
            let message = format!(
                "`{key}` is {}, and a route only lowers what its upstream allows: {bound} holds",
                shown(wanted)
            );
            let help = format!(
                "raise `{key}` of `[upstream.{}]`, or leave it out here",
                first.name
            );
            self.warn(route, message).help(help);
        }
    }

    /// A filter that runs twice also counts twice.
    fn repeated_filter(&mut self, route: &RouteConfig) {
        for (index, reference) in route.filters.iter().enumerate() {
            let mut before = route.filters.iter().take(index);
            if !before.any(|other| other.filter == reference.filter) {
                continue;
            }
            let name = self.config.filters.get(reference.filter);
            let name = name.map_or("", |filter| &filter.name);
            let message = format!(
                "filter `{name}` stands in `filters` twice, and runs twice for each request"
            );
            self.warn(route, message)
                .at(reference.span)
                .help("leave one of them out; what a plan counts would be counted twice");
        }
    }

    /// Whether anything on the way of a route's requests can set an attribute.
    fn can_set(&self, route: &RouteConfig, name: &str) -> bool {
        if let Some(variable) = name.strip_prefix("api.variable.") {
            let api = route.api(self.config);
            return api.is_some_and(|api| api.variables.contains_key(variable));
        }
        let by_filter = |reference: &config::FilterReference| {
            let loaded = self.filters.get(reference.filter).and_then(Option::as_ref);
            let filter = self.config.filters.get(reference.filter);
            loaded.is_some_and(|loaded| settable(loaded).any(|set| set == name))
                || filter.is_some_and(|filter| grants(self.config, filter).attribute(name))
        };
        HOST_FACTS.contains(&name) || route.filters.iter().any(by_filter)
    }

    /// `split_on` names an attribute that none of the route's requests has.
    fn split_on(&mut self, route: &RouteConfig) {
        if let RouteEnd::Split(split) = &route.end
            && let Some(HashKey::Attribute(name)) = &split.on
            && !self.can_set(route, name)
        {
            let message = format!(
                "`split_on` names the attribute `{name}`, which no filter of the route sets: its requests are shared by chance"
            );
            let help = format!(
                "add a filter that sets `{name}` to the route's `filters`, or split on something else"
            );
            self.warn(route, message).help(help);
        }
    }

    /// `hash_on` names an attribute that no request which comes here has.
    fn hash_on(&mut self, index: usize, upstream: &UpstreamConfig) {
        let HashKey::Attribute(name) = &upstream.balance.hash_on else {
            return;
        };
        let is_used = upstream.balance.policy == BalancePolicy::ConsistentHash;
        let routes = self.routes_to(index);
        if !is_used || routes.is_empty() || routes.iter().any(|route| self.can_set(route, name)) {
            return;
        }
        let message = format!(
            "`hash_on` names the attribute `{name}`, which no filter of a route that leads here sets: its requests are spread by weight"
        );
        let help =
            format!("add a filter that sets `{name}` to those routes, or hash on something else");
        self.warn(upstream, message).help(help);
    }
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
