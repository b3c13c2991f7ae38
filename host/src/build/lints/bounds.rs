//! Values that no request has, and that filters count by or take for its cost.

use super::names::{parameters, parameters_of};
use super::{LintContext, can_set};
use crate::build::spans::bound_span;
use crate::config::{self, PluginSource, Problems, RouteConfig, nearest};
use crate::wasm::Filter;
use crate::wasm::facts::{BoundInfo, BoundSource, OnMissingValue};

/// Look at every bound of every filter that a route uses.
pub(super) fn lint(known: &LintContext<'_>, problems: &mut Problems) {
    let filters = known.config.filters.iter().zip(known.filters).enumerate();
    for (place, (filter, loaded)) in filters {
        let Some(loaded) = loaded else { continue };
        let routes = known.config.routes.iter();
        let routes = routes.filter(|route| route.filters.iter().any(|one| one.filter == place));
        let routes: Vec<&RouteConfig> = routes.collect();
        // One that no route uses is told of as unused.
        if !routes.is_empty() {
            bounds(known, filter, loaded, &routes, problems);
            cost(known, filter, &routes, problems);
        }
    }
}

fn bounds(
    known: &LintContext<'_>,
    filter: &config::FilterConfig,
    loaded: &Filter,
    routes: &[&RouteConfig],
    problems: &mut Problems,
) {
    for (place, bound) in loaded.facts().advice.bounds.iter().enumerate() {
        let lacks = match &bound.source {
            Some(BoundSource::Attribute(name)) => attribute(known, loaded, routes, name),
            Some(BoundSource::PathParam(name)) => path_parameter(routes, name),
            None => None,
        };
        if let Some((value, help)) = lacks {
            let message = format!(
                "filter `{}`: bound `{}` counts by {value}: {}",
                filter.name,
                bound.name,
                outcome(bound)
            );
            problems
                .warning(bound_span(filter, place, "by"), message)
                .help(help);
        }
    }
}

/// The attribute that says what a request costs, of the two plugins that have such a setting.
fn cost(
    known: &LintContext<'_>,
    filter: &config::FilterConfig,
    routes: &[&RouteConfig],
    problems: &mut Problems,
) {
    let PluginSource::Builtin(plugin) = &filter.plugin else {
        return;
    };
    let is_one = matches!(&**plugin, "rate-limit" | "usage-plan");
    let name = filter.settings.json.get("cost_attribute");
    let Some(name) = name.and_then(serde_json::Value::as_str).filter(|_| is_one) else {
        return;
    };
    if routes.iter().any(|route| can_set(known, route, name)) {
        return;
    }
    let message = format!(
        "filter `{}`: `cost_attribute` names `{name}`, which no filter of its routes sets: every request costs `cost`",
        filter.name
    );
    let span = filter.settings.spans.get("/cost_attribute").copied();
    problems
        .warning(span.unwrap_or(filter.span), message)
        .help(format!("put a filter that sets `{name}` before it"));
}

fn outcome(bound: &BoundInfo) -> &'static str {
    match bound.lacking {
        OnMissingValue::Shared => "all its requests share one bucket",
        OnMissingValue::Skipped => "it bounds no request",
        OnMissingValue::Denied => "every request is refused",
    }
}

/// Says what is wrong with the attribute, and the cure.
fn attribute(
    known: &LintContext<'_>,
    loaded: &Filter,
    routes: &[&RouteConfig],
    name: &str,
) -> Option<(String, String)> {
    let is_required = loaded.facts().requires.iter().any(|one| one == name);
    let is_of_api = name.starts_with("api.");
    let has =
        |route: &&RouteConfig| can_set(known, route, name) && (!is_of_api || route.api.is_some());
    if is_required || routes.iter().any(has) {
        return None;
    }
    let value = format!("the attribute `{name}`, which no request of its routes has");
    let references = routes.iter().flat_map(|route| &route.filters);
    let others = references.filter_map(|one| known.filters.get(one.filter)?.as_ref());
    let told = others.flat_map(|other| {
        let facts = other.facts();
        facts.provides.iter().chain(&facts.sometimes)
    });
    let own = crate::exchange::HOST_FACTS.into_iter();
    let help = match nearest(name, told.map(String::as_str).chain(own)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if is_of_api => {
            "it is there on routes of an `[api.<name>]`, and `api.variable.<name>` where \
                              `variables` has that name"
                .to_owned()
        }
        None => format!("put a filter that sets `{name}` before it"),
    };
    Some((value, help))
}

/// The same of a path parameter.
fn path_parameter(routes: &[&RouteConfig], name: &str) -> Option<(String, String)> {
    let mut all = routes.iter().flat_map(|route| parameters(&route.path));
    if all.any(|known| known == name) {
        return None;
    }
    let value = format!("the path parameter `{name}`, which no route of the filter has");
    Some((value, parameters_of(routes)))
}
