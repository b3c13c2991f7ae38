//! Values that no request has, and that filters count by or take for its cost.

use super::names::parameters_of;
use super::{Lint, UsedFilter};
use crate::build::granted::settable;
use crate::build::spans::bound_span;
use crate::config::{RouteConfig, did_you_mean, parameters};
use crate::exchange::HOST_FACTS;
use crate::wasm::Filter;
use crate::wasm::facts::{BoundInfo, BoundSource, OnMissingValue};

impl Lint<'_> {
    /// Look at every bound of every filter that a route uses.
    pub(super) fn filter_bounds(&mut self) {
        for used in self.used_filters() {
            if let Some(loaded) = used.loaded {
                self.bounds(&used, loaded);
                self.cost(&used);
            }
        }
    }

    fn bounds(&mut self, used: &UsedFilter<'_>, loaded: &Filter) {
        for (index, bound) in loaded.facts().advice.bounds.iter().enumerate() {
            let lacks = match &bound.source {
                Some(BoundSource::Attribute(name)) => self.attribute(loaded, &used.routes, name),
                Some(BoundSource::PathParam(name)) => path_parameter(&used.routes, name),
                None => None,
            };
            if let Some((value, help)) = lacks {
                let message = format!(
                    "bound `{}` counts by {value}: {}",
                    bound.name,
                    outcome(bound)
                );
                self.warn(used.filter, message)
                    .at(bound_span(used.filter, index, "by"))
                    .help(help);
            }
        }
    }

    /// The attribute that says what a request costs, of the two plugins that have such a setting.
    fn cost(&mut self, used: &UsedFilter<'_>) {
        let filter = used.filter;
        let is_one = ["rate-limit", "usage-plan"]
            .iter()
            .any(|plugin| filter.plugin.is_builtin(plugin));
        let Some(name) = filter.text_setting("cost_attribute").filter(|_| is_one) else {
            return;
        };
        if used.routes.iter().any(|route| self.can_set(route, name)) {
            return;
        }
        let message = format!(
            "`cost_attribute` names `{name}`, which no filter of its routes sets: every request costs `cost`"
        );
        self.warn(filter, message)
            .at(filter.span_at("/cost_attribute"))
            .help(format!("put a filter that sets `{name}` before it"));
    }

    /// Says what is wrong with the attribute, and the cure.
    fn attribute(
        &self,
        loaded: &Filter,
        routes: &[&RouteConfig],
        name: &str,
    ) -> Option<(String, String)> {
        let is_required = loaded.facts().requires.iter().any(|one| one == name);
        let is_of_api = name.starts_with("api.");
        let has =
            |route: &&RouteConfig| self.can_set(route, name) && (!is_of_api || route.api.is_some());
        if is_required || routes.iter().any(has) {
            return None;
        }
        let value = format!("the attribute `{name}`, which no request of its routes has");
        let references = routes.iter().flat_map(|route| &route.filters);
        let others = references.filter_map(|one| self.filters.get(one.filter)?.as_ref());
        let set = others.flat_map(|other| settable(other));
        let help = did_you_mean(name, set.map(String::as_str).chain(HOST_FACTS));
        let help = help.unwrap_or_else(|| {
            if is_of_api {
                "it is there on routes of an `[api.<name>]`, and `api.variable.<name>` where \
                              `variables` has that name"
                    .to_owned()
            } else {
                format!("put a filter that sets `{name}` before it")
            }
        });
        Some((value, help))
    }
}

fn outcome(bound: &BoundInfo) -> &'static str {
    match bound.lacking {
        OnMissingValue::Shared => "all its requests share one bucket",
        OnMissingValue::Skipped => "it bounds no request",
        OnMissingValue::Denied => "every request is refused",
    }
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
