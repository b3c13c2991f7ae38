//! Warns of usage plans that have no effect: plans that no route enforces, routes that do not enforce
//! them beside routes that do, and keys that cannot be used anywhere.
//!
//! A route enforces plans if one of its filters may use the host interface `limits`, and accepts keys
//! if one may use `keys`. Keys and plans of the store are not checked, since they change while the
//! gateway runs.

use super::granted::grants;
use super::lints::{more_keys, some_routes};
use crate::config::{self, Config, Problems, backticked};
use crate::model::filter::HostInterface;

/// The most routes that one warning names.
const MAX_NAMED: usize = 3;

const CURE: &str = "add a filter with `plugin = \"builtin:usage-plan\"` to their `filters`, after the one that finds the key";

/// Whether a route accepts keys and enforces plans.
struct RouteKeyPolicy<'a> {
    route: &'a config::RouteConfig,
    /// A filter of it finds keys.
    takes_keys: bool,
    /// A filter of it enforces each key's own plan.
    enforces: bool,
    /// A filter of it lets keys without a plan pass.
    lets_pass: bool,
}

/// Checks all plans and keys of the configuration.
pub(crate) fn check(config: &Config, problems: &mut Problems) {
    if config.plans.is_empty() && config.keys.is_empty() {
        return;
    }
    let routes = config.routes.iter();
    let routes: Vec<_> = routes.map(|route| key_policy(config, route)).collect();
    for (index, plan) in config.plans.iter().enumerate() {
        check_plan(config, (index, plan), &routes, problems);
    }
    keys_without_plan(config, &routes, problems);
}

fn key_policy<'a>(config: &Config, route: &'a config::RouteConfig) -> RouteKeyPolicy<'a> {
    let mut policy = RouteKeyPolicy {
        route,
        takes_keys: false,
        enforces: false,
        lets_pass: false,
    };
    for filter in filters(config, route) {
        let grants = grants(config, filter);
        policy.takes_keys |= grants.interface(HostInterface::Keys);
        if grants.interface(HostInterface::Limits) {
            policy.enforces |= named_plan(filter).is_none();
            policy.lets_pass |= setting(filter, "without_plan") == Some("allow");
        }
    }
    policy
}

fn filters<'a>(
    config: &'a Config,
    route: &'a config::RouteConfig,
) -> impl Iterator<Item = &'a config::FilterConfig> {
    let filters = route.filters.iter();
    filters.filter_map(|filter| config.filters.get(filter.filter))
}

/// The plan that a `builtin:usage-plan` charges instead of each key's own.
fn named_plan(filter: &config::FilterConfig) -> Option<&str> {
    setting(filter, "plan")
}

fn setting<'a>(filter: &'a config::FilterConfig, name: &str) -> Option<&'a str> {
    let setting = filter.text_setting(name);
    setting.filter(|_| filter.plugin.is_builtin("usage-plan"))
}

/// Whether the plan is for the route.
fn covers(plan: &config::Plan, route: &config::RouteConfig) -> bool {
    plan.apis.is_empty() || route.api.is_some_and(|api| plan.apis.contains(&api))
}

fn check_plan(
    config: &Config,
    (index, plan): (usize, &config::Plan),
    routes: &[RouteKeyPolicy<'_>],
    problems: &mut Problems,
) {
    let name = &plan.name;
    // A filter that names it charges it on its routes, whatever APIs it is for.
    let is_named = |policy: &RouteKeyPolicy<'_>| {
        filters(config, policy.route).any(|filter| named_plan(filter) == Some(&**name))
    };
    if routes.iter().any(is_named) {
        return;
    }
    let covered = routes.iter().filter(|policy| covers(plan, policy.route));
    let covered: Vec<_> = covered.collect();
    let apis = plan.apis.iter().filter_map(|api| config.apis.get(*api));
    let apis: Vec<_> = apis.map(|api| &*api.name).collect();
    let what = match apis.as_slice() {
        [] => "any route".to_owned(),
        [api] => format!("a route of API `{api}`"),
        apis => format!("a route of the APIs {}", backticked(apis.iter().copied())),
    };
    if !covered.iter().any(|policy| policy.enforces) {
        let refuses = |policy: &&RouteKeyPolicy<'_>| {
            policy.enforces && policy.takes_keys && !policy.lets_pass && !plan.apis.is_empty()
        };
        let refused = named(routes.iter().filter(refuses)).map(|names| {
            format!("; on {names}, for which the plan is not sold, its keys are refused (403 `no_usage_plan`)")
        });
        let text = format!(
            "plan `{name}` is never enforced: no filter holds keys to their plans on {what}{}",
            refused.unwrap_or_default()
        );
        problems.warning(plan.span, text).help(CURE);
        return;
    }
    // Of a plan for everything only routes that take keys are meant; one for some APIs is meant for
    // all of their routes.
    let open = covered
        .iter()
        .filter(|policy| !policy.enforces && (policy.takes_keys || !plan.apis.is_empty()));
    if let Some(names) = named(open.copied()) {
        let text = format!("plan `{name}` is not enforced on {names}, for which it is sold");
        problems.warning(plan.span, text).help(CURE);
    }
    let mut keys = config.keys.iter();
    if config.store.is_none() && !keys.any(|key| key.plans.contains(&index)) {
        let text = format!("plan `{name}` holds nobody: no key is on it, and no filter names it");
        problems.warning(plan.span, text).help(format!(
            "add `plan = \"{name}\"` to a `[[key]]`, or remove the plan"
        ));
    }
}

/// Keys that every route refuses that takes keys.
fn keys_without_plan(config: &Config, routes: &[RouteKeyPolicy<'_>], problems: &mut Problems) {
    let mut refused = config.keys.iter().filter(|key| {
        let plans = key.plans.iter();
        let mut plans = plans.filter_map(|plan| config.plans.get(*plan));
        let mut taking = routes.iter().filter(|policy| policy.takes_keys).peekable();
        plans.next().is_none()
            && taking.peek().is_some()
            && taking.all(|policy| policy.enforces && !policy.lets_pass)
    });
    let Some(first) = refused.next() else {
        return;
    };
    let more = more_keys(refused.count());
    let text = format!(
        "key `{}`{more} is on no plan, and every route that takes keys refuses those (403 `no_usage_plan`)",
        first.id
    );
    problems.warning(first.span, text).help(
        "add `plan = ..` to it, or `settings = { without_plan = \"allow\" }` to the filter that enforces plans",
    );
}

/// Some routes by name. None: there is none.
fn named<'a>(routes: impl Iterator<Item = &'a RouteKeyPolicy<'a>>) -> Option<String> {
    let names: Vec<&str> = routes.map(|policy| &*policy.route.name).collect();
    (!names.is_empty()).then(|| some_routes(&names, MAX_NAMED))
}
