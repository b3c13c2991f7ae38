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
        for upstream in upstreams(&route.end) {
            let mut fields: Vec<&str> = Vec::new();
            let mut setter: Option<(&config::Route, &Arc<Filter>)> = None;
            for (other, filters) in routes() {
                if !upstreams(&other.end).any(|known| known == upstream) {
                    continue;
                }
                for filter in filters {
                    let vouched = filter.facts().advice.vouched.iter().map(String::as_str);
                    for field in vouched {
                        if !is_cleared(chain, field) && !fields.contains(&field) {
                            fields.push(field);
                            setter = setter.or(Some((other, filter)));
                        }
                    }
                }
            }
            let (Some((other, filter)), Some(upstream)) = (setter, config.upstreams.get(upstream))
            else {
                continue;
            };
            let list = backticked(fields.iter().copied());
            problems
                .warning(
                    route.span,
                    format!(
                        "a client can send {list} to upstream `{}` by route `{}`; on route `{}` filter `{}` sets it from what the gateway knows",
                        upstream.name,
                        route.name,
                        other.name,
                        filter.name()
                    ),
                )
                .help("put that filter into `filters` here too, or one that removes the field");
        }
    }
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
