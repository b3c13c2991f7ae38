//! The chains of a configuration, and its router.

use std::sync::Arc;

use windlass_builtin_plugins::BuiltinPlugin;

use super::Route;
use super::named_grants::builtin;
use crate::chain::{MissingAttributeCause, OrderViolation, OrderedFilter, check_order};
use crate::config::{self, Config, Problems, backticked, did_you_mean};
use crate::exchange::{HOST_FACTS, is_host_fact};
use crate::route::{LAST_PRIORITY, MethodMatch, RoutePart, RouteSpec, Router};
use crate::wasm::Filter;
use crate::wasm::grants::Grants;

/// The filters of each route. An order in which a filter does not get what it requires is an error
/// at its word in the list.
pub(crate) fn build(
    config: &Config,
    filters: &[Option<Arc<Filter>>],
    problems: &mut Problems,
) -> Vec<Vec<Arc<Filter>>> {
    let chain = |route: &config::RouteConfig| {
        let references = route.filters.iter();
        let loaded: Option<Vec<_>> = references
            .map(|reference| filters.get(reference.filter)?.clone())
            .collect();
        check(config, route, filters, problems);
        // One that did not load was reported already.
        loaded.unwrap_or_default()
    };
    config.routes.iter().map(chain).collect()
}

/// Check the order of a route's filters, even if some of them did not load.
pub(super) fn check(
    config: &Config,
    route: &config::RouteConfig,
    filters: &[Option<Arc<Filter>>],
    problems: &mut Problems,
) {
    let references = route.filters.iter();
    let most: Vec<Option<Grants>> = references
        .map(|reference| settable_by(config.filters.get(reference.filter)?))
        .collect();
    let references = route.filters.iter().zip(&most);
    let links = references.map(|(reference, most)| {
        let loaded = filters.get(reference.filter).and_then(Option::as_ref);
        match loaded {
            Some(filter) => OrderedFilter::Loaded(filter.facts(), filter.on_error()),
            None => OrderedFilter::Unknown(most.as_ref()),
        }
    });
    let links: Vec<_> = links.collect();
    for misorder in check_order(&links) {
        report(config, route, &links, filters, &misorder, problems);
    }
    host_facts(config, route, filters, problems);
}

/// Report facts of the host that a filter requires, and that no request of the route has.
fn host_facts(
    config: &Config,
    route: &config::RouteConfig,
    filters: &[Option<Arc<Filter>>],
    problems: &mut Problems,
) {
    for reference in &route.filters {
        let Some(filter) = filters.get(reference.filter).and_then(Option::as_ref) else {
            continue;
        };
        let required = filter.facts().requires.iter();
        for attribute in required.filter(|name| is_host_fact(name)) {
            let Some((why, help)) = missing_fact(config, route, attribute) else {
                continue;
            };
            let message = format!(
                "filter `{}` requires attribute `{attribute}`, which {why}",
                filter.name()
            );
            problems.error(reference.span, message).help(help);
        }
    }
}

fn asks_for_certificates(config: &Config) -> bool {
    let tls = config
        .listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref());
    tls.into_iter().any(|tls| tls.client_auth.is_some())
}

/// Why no request of the route has a fact of the host, and the cure; none if requests may have it.
fn missing_fact(
    config: &Config,
    route: &config::RouteConfig,
    attribute: &str,
) -> Option<(&'static str, String)> {
    let is_of_api = attribute.starts_with("api.");
    if is_of_api && !route.is_match_whole {
        return None;
    }
    let api = route.api(config);
    match (attribute.strip_prefix("api.variable."), api) {
        (None, _) if !HOST_FACTS.contains(&attribute) => {
            let help = did_you_mean(attribute, HOST_FACTS);
            let all = || format!("the gateway sets {}", backticked(HOST_FACTS));
            Some(("does not exist", help.unwrap_or_else(all)))
        }
        _ if attribute.starts_with("client.cert.") && !asks_for_certificates(config) => Some((
            "no request has: no listener asks clients for a certificate",
            "add `client_auth = { ca = \"clients.pem\" }` to a listener's `tls`".to_owned(),
        )),
        (_, None) if is_of_api => Some((
            "requests of this route do not have: it belongs to no API",
            "add `api = \"<name>\"` to the route".to_owned(),
        )),
        (Some(name), Some(api)) if !api.variables.contains_key(name) => Some((
            "requests of this route do not have: its API has no such stage variable",
            format!("add `{name}` to `variables` of `[api.{}]`", api.name),
        )),
        _ => None,
    }
}

/// The cure for an attribute that no filter of the route sets.
fn provider(
    links: &[OrderedFilter<'_>],
    filters: &[Option<Arc<Filter>>],
    misorder: &OrderViolation,
) -> String {
    let attribute = &misorder.attribute;
    let all = filters.iter().flatten();
    let mut others = all.filter(|filter| filter.facts().provides.contains(attribute));
    if let Some(other) = others.next() {
        return format!(
            "put `{}` before it, which provides `{attribute}`",
            other.name()
        );
    }
    let before = links.iter().take(misorder.position);
    let provided = before.flat_map(|link| match link {
        OrderedFilter::Loaded(facts, _) => facts.provides.as_slice(),
        OrderedFilter::Unknown(_) => &[],
    });
    if let Some(help) = did_you_mean(attribute, provided.map(String::as_str)) {
        return help;
    }
    let mut plugins = windlass_builtin_plugins::BUILTIN_PLUGINS.iter();
    let sets = |plugin: &&BuiltinPlugin| settable_by_builtin(plugin).attribute(attribute);
    match plugins.find(sets) {
        Some(plugin) => format!(
            "put a filter with `plugin = \"builtin:{}\"` before it, or another that provides `{attribute}`",
            plugin.name
        ),
        None => format!("put a filter that provides `{attribute}` before it"),
    }
}

/// The attributes that a filter can set at most, whatever its settings; none if unknown.
fn settable_by(filter: &config::FilterConfig) -> Option<Grants> {
    builtin(filter).map(settable_by_builtin)
}

fn settable_by_builtin(plugin: &BuiltinPlugin) -> Grants {
    let attributes = plugin.attributes.iter();
    Grants {
        attributes: attributes.map(|&name| name.into()).collect(),
        ..Grants::default()
    }
}

fn report(
    config: &Config,
    route: &config::RouteConfig,
    links: &[OrderedFilter<'_>],
    filters: &[Option<Arc<Filter>>],
    misorder: &OrderViolation,
    problems: &mut Problems,
) {
    let name = |index: usize| {
        let filter = route.filters.get(index);
        let filter = filter.and_then(|reference| config.filters.get(reference.filter));
        filter.map_or("", |filter| &*filter.name)
    };
    let span = route.filters.get(misorder.position);
    let span = span.map_or(route.span, |reference| reference.span);
    let verb = if misorder.is_counted_by {
        "counts by"
    } else {
        "requires"
    };
    let needs = format!(
        "filter `{}` {verb} attribute `{}`, which",
        name(misorder.position),
        misorder.attribute
    );
    let (why, help) = match misorder.cause {
        MissingAttributeCause::Nobody => (
            "no filter before it provides".to_owned(),
            provider(links, filters, misorder),
        ),
        MissingAttributeCause::Later(index) => (
            format!("filter `{}` provides, but later in the list", name(index)),
            format!(
                "move `{}` before `{}`",
                name(index),
                name(misorder.position)
            ),
        ),
        MissingAttributeCause::Sometimes(index) => (
            format!("filter `{}` before it sets in some cases only", name(index)),
            format!(
                "put a filter that always provides `{}` before it",
                misorder.attribute
            ),
        ),
        MissingAttributeCause::Skipped(index) => (
            format!(
                "filter `{}` before it provides, but is left out when it fails (`on_error = \"skip\"`)",
                name(index)
            ),
            format!("set `on_error = \"deny\"` for `{}`", name(index)),
        ),
    };
    problems.error(span, format!("{needs} {why}")).help(help);
}

impl Route {
    /// Whether one of its filters checks a request in a way that no filter of the other route does.
    #[must_use]
    pub(crate) fn requires_filter_beyond(&self, other: &Self) -> bool {
        let called =
            |filter: &Arc<Filter>| other.filters.iter().any(|own| Arc::ptr_eq(own, filter));
        let mut asking = self.filters.iter().filter(|filter| filter.phases().request);
        !asking.all(called)
    }
}

/// Whether the requests that a route takes are certain.
fn is_certain(config: &Config, route: &config::RouteConfig) -> bool {
    let is_base_known = route.api.is_none_or(|index| index < config.apis.len());
    route.is_match_whole && is_base_known
}

/// The methods of a route, for the router.
pub(super) fn methods(route: &config::RouteConfig) -> Vec<MethodMatch> {
    if route.methods.is_empty() {
        return vec![MethodMatch::Any];
    }
    let methods = route.methods.iter().cloned();
    methods.map(MethodMatch::Only).collect()
}

/// The requests of a route, with these methods.
pub(super) fn spec<'a>(
    config: &'a Config,
    route: &'a config::RouteConfig,
    methods: &'a [MethodMatch],
) -> RouteSpec<'a> {
    RouteSpec {
        base: route.base_path(config),
        path: &route.path,
        methods,
        hosts: &route.hosts,
        conditions: route.conditions(),
        priority: route.priority.unwrap_or(LAST_PRIORITY),
    }
}

/// The router of all routes. None if routes conflict, or if the requests of a route are uncertain, since
/// such a route is not checked for conflicts.
pub(crate) fn router(config: &Config, problems: &mut Problems) -> Option<Router> {
    let routes = config.routes.iter();
    let routes: Vec<_> = routes.filter(|route| is_certain(config, route)).collect();
    let methods: Vec<_> = routes.iter().map(|route| methods(route)).collect();
    let specs = routes.iter().zip(&methods);
    let specs: Vec<_> = specs
        .map(|(route, methods)| spec(config, route, methods))
        .collect();
    match Router::new(&specs) {
        Ok(router) => (routes.len() == config.routes.len()).then_some(router),
        Err(errors) => {
            for error in errors {
                let route = routes.get(error.route);
                let span = route.map_or_else(config::Span::default, |route| match error.part {
                    RoutePart::Path => route.path_span,
                    RoutePart::Methods | RoutePart::Host(_) => route.span,
                });
                problems.error(span, error.message).help_if(error.help);
            }
            None
        }
    }
}
