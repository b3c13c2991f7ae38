//! Checks of several sections at once.

use super::names::Group;
use super::read::Reader;
use super::section::{Config, FilterConfig, Plan, PlanMethod, RouteConfig};
use super::value::balance::other_param;
use super::value::path::parameters;
use crate::model::word::Word;

/// Reports what does not fit together. Warns of nothing beside errors: mending them may mend it.
pub(super) fn sections(reader: &mut Reader, config: &Config) {
    proxy_senders(reader, config);
    if !reader.incomplete && !reader.problems.is_fatal() {
        plan_methods(reader, &config.plans, &config.routes);
        hash_params(reader, &config.routes, &config.filters);
        unused(reader);
    }
}

/// Reports a listener with the PROXY protocol for which no proxy is named.
fn proxy_senders(reader: &mut Reader, config: &Config) {
    if reader.incomplete || !config.server.trusted_proxies.is_empty() {
        return;
    }
    let protocols = config.listeners.iter();
    let protocols = protocols.filter_map(|listener| listener.proxy_protocol.as_ref());
    for protocol in protocols.filter(|one| one.from.is_empty() && one.is_from_whole) {
        let message = "`proxy_protocol` names no proxy whose header counts, and nor does `[server] trusted_proxies`";
        reader
            .problems
            .error(protocol.span, message)
            .help("list the proxies: `proxy_protocol = { from = [\"10.0.0.0/8\"] }`");
    }
}

/// Warns of what is defined and not used.
fn unused(reader: &mut Reader) {
    for (group, name, span) in reader.names.unused() {
        let by = match group {
            Group::Secret => {
                "no filter's `allow`, no upstream's `sticky` and no verifier names it, nor `[admin]`, `[store]` or `[plugins]`"
            }
            Group::Verifier => "no filter's settings name it",
            Group::Callout => "no filter's `allow` and no filter's settings name it",
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

/// Warns of a plan's methods that no route has.
fn plan_methods(reader: &mut Reader, plans: &[Plan], routes: &[RouteConfig]) {
    for plan in plans {
        let sold = |route: &&RouteConfig| {
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

fn takes(route: &RouteConfig, method: &PlanMethod) -> bool {
    let any = method.method == "ANY" || route.methods.is_empty();
    let named = route
        .methods
        .iter()
        .any(|known| known.as_str() == method.method);
    route.path == method.path && (any || named)
}

/// Warns of a path parameter that an upstream hashes on, and that no route that leads there has.
///
fn hash_params(reader: &mut Reader, routes: &[RouteConfig], filters: &[FilterConfig]) {
    for param in std::mem::take(&mut reader.hash_params) {
        let there = routes.iter();
        let there = there.filter(|route| leads(route, filters, param.upstream));
        let paths: Vec<&str> = there.map(|route| route.path.as_str()).collect();
        let mut known = paths.iter().flat_map(|path| parameters(path));
        // An upstream that no route leads to is told of as unused.
        if paths.is_empty() || known.any(|known| known == param.name) {
            continue;
        }
        let upstream = reader.names.at(Group::Upstream, param.upstream);
        let message = format!(
            "upstream `{upstream}`: `hash_on` names the parameter `{}`, which no route that leads here has: its requests are spread by weight",
            param.name
        );
        let help = other_param(&param.name, paths.into_iter());
        reader.problems.warning(param.span, message).help(help);
    }
}

/// Whether requests of a route come to an upstream, by its end or by a filter's word.
fn leads(route: &RouteConfig, filters: &[FilterConfig], upstream: usize) -> bool {
    let filters = route.filters.iter().filter_map(|at| filters.get(at.filter));
    let mut allowed = filters.filter_map(|filter| filter.allow.as_ref());
    route.end.upstreams().any(|index| index == upstream)
        || allowed.any(|allow| allow.upstreams.contains(&upstream))
}
