//! Fields that endpoints take for the gateway's word, on one route, and that a client can send on another.
//!
//! After the chains are built. A filter says which request fields it sets from what the gateway knows,
//! and which no client can send past it; an upstream that gets such a field by one route should not
//! get a client's own by another. A warning only: whether the endpoint looks at it is not known here.

use std::sync::Arc;

use super::filters::backticked;
use crate::config::{self, Config, Problems, RouteEnd};
use crate::wasm::Filter;

/// Warn of each route by which a client can send what a filter of another route sets.
pub(super) fn check(config: &Config, chains: &[Vec<Arc<Filter>>], problems: &mut Problems) {
    let routes = || config.routes.iter().zip(chains);
    for (route, chain) in routes() {
        for place in upstreams(&route.end) {
            let Some(upstream) = config.upstreams.get(place) else {
                continue;
            };
            let others =
                routes().filter(|(other, _)| upstreams(&other.end).any(|one| one == place));
            let mut told: Vec<&str> = Vec::new();
            for (other, filter) in
                others.flat_map(|(other, chain)| chain.iter().map(move |filter| (other, filter)))
            {
                let vouched = filter.facts().advice.vouched.iter().map(String::as_str);
                let mut fields: Vec<&str> = Vec::new();
                for field in vouched.filter(|field| !is_cleared(chain, field)) {
                    if !told.contains(&field) && !fields.contains(&field) {
                        fields.push(field);
                    }
                }
                if !fields.is_empty() {
                    warn(route, &upstream.name, (other, filter), &fields, problems);
                    told.extend(fields);
                }
            }
        }
    }
}

/// Warn of fields that a filter of another route sets.
fn warn(
    route: &config::Route,
    upstream: &str,
    (other, filter): (&config::Route, &Filter),
    fields: &[&str],
    problems: &mut Problems,
) {
    let name = filter.name();
    let list = backticked(fields.iter().copied());
    problems
        .warning(
            route.span,
            format!(
                "a client can send {list} to upstream `{upstream}` by route `{}`; on route `{}` filter `{name}` sets it from what the gateway knows",
                route.name, other.name
            ),
        )
        .help(format!(
            "put `{name}` into `filters` here too, or a filter that removes {list}"
        ));
}

/// Whether no client can send the field past these filters.
fn is_cleared(chain: &[Arc<Filter>], field: &str) -> bool {
    let mut advice = chain.iter().map(|filter| &filter.facts().advice);
    advice.any(|advice| {
        let mut known = advice.vouched.iter().chain(&advice.cleared);
        known.any(|known| known == field)
    })
}

/// The upstreams that a route leads to.
fn upstreams(end: &RouteEnd) -> impl Iterator<Item = usize> + '_ {
    let (one, several) = match end {
        RouteEnd::Upstream(place) => (Some(*place), None),
        RouteEnd::Split(split) => (None, Some(split)),
        RouteEnd::Respond(_) | RouteEnd::Redirect(_) => (None, None),
    };
    let several = several.into_iter().flat_map(|split| split.groups.iter());
    one.into_iter().chain(several.map(|(place, _)| *place))
}
