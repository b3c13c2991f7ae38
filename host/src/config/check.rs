//! What concerns several sections at once.

use super::model::{Plan, PlanMethod, Route};
use super::names::Group;
use super::read::{Reader, Table};
use super::source::Span;

/// Reports a list of tables that cannot be left out.
pub(super) fn presence(table: &mut Table<'_>, key: &str, example: &str) {
    if table.has(key) || table.is_incomplete() {
        return;
    }
    let message = format!("there is no `[[{key}]]`: at least one is needed");
    table
        .error(Span::default(), &message)
        .help(format!("add {example}"));
}

/// Warns of what is defined and not used. Says nothing beside errors: mending them may use it.
pub(super) fn unused(reader: &mut Reader) {
    if reader.incomplete || reader.problems.is_fatal() {
        return;
    }
    for (group, name, span) in reader.names.unused() {
        let by = match group {
            Group::Secret => "no filter's `allow` names it, nor `[admin]` or `[store]`",
            Group::Api | Group::Filter => "no route names it",
            // Keys of a store may.
            Group::Plan if reader.has_store => continue,
            Group::Plan => "no key and no filter's settings name it",
            Group::Upstream => "no route and no filter's `allow` names it",
        };
        let message = format!("{} `{name}` is not used: {by}", group.word());
        reader.problems.warning(span, message);
    }
}

/// Warns of a plan's methods that no route has. Says nothing beside errors, for the same reason.
pub(super) fn plan_methods(reader: &mut Reader, plans: &[Plan], routes: &[Route]) {
    if reader.incomplete || reader.problems.is_fatal() {
        return;
    }
    for plan in plans {
        let sold = |route: &&Route| {
            plan.apis.is_empty() || route.api.is_some_and(|api| plan.apis.contains(&api))
        };
        for method in &plan.methods {
            if routes.iter().filter(sold).any(|route| takes(route, method)) {
                continue;
            }
            let message = format!(
                "plan `{}`: `methods` holds `{} {}`, which no route of its APIs has",
                plan.name, method.method, method.path
            );
            reader
                .problems
                .warning(method.span, message)
                .help("`path` is that of the route, without `base_path`");
        }
    }
}

fn takes(route: &Route, method: &PlanMethod) -> bool {
    let any = method.method == "ANY" || route.methods.is_empty();
    let named = route
        .methods
        .iter()
        .any(|known| known.as_str() == method.method);
    route.path == method.path && (any || named)
}
