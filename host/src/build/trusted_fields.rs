//! Warns of a field that endpoints trust on one route, and that a client can send on another.
//!
//! A filter says which request fields it sets to a value that endpoints may trust, and which fields no
//! client can send past it. If an upstream gets such a field by one route, a client should not be able
//! to send it by another. This runs after the chains are built. It is only a warning: Windlass does not
//! know whether the endpoint reads the field.

use std::sync::Arc;

use super::lints::routes_named;
use crate::config::{self, Config, Problems, backticked};
use crate::wasm::Filter;

/// Fields that a filter of one route sets, and other routes by which a client can send them.
struct ForgeableFields<'a> {
    fields: Vec<&'a str>,
    upstream: usize,
    /// The filter that sets them, and its route.
    setter: &'a Arc<Filter>,
    on: &'a config::RouteConfig,
    /// The first of the other routes.
    span: config::Span,
    routes: Vec<&'a str>,
}

/// Warn of the routes by which a client can send what a filter of another route sets: once for the
/// same fields of one filter and one upstream.
pub(super) fn check(config: &Config, chains: &[Vec<Arc<Filter>>], problems: &mut Problems) {
    let routes = || config.routes.iter().zip(chains);
    let mut sendable: Vec<ForgeableFields<'_>> = Vec::new();
    for (route, chain) in routes() {
        for upstream in route.end.upstreams() {
            let others =
                routes().filter(|(other, _)| other.end.upstreams().any(|one| one == upstream));
            let mut reported: Vec<&str> = Vec::new();
            for (on, setter) in
                others.flat_map(|(other, chain)| chain.iter().map(move |filter| (other, filter)))
            {
                let fields = forgeable(setter, chain, &reported);
                if fields.is_empty() {
                    continue;
                }
                reported.extend(&fields);
                let same = sendable.iter_mut().find(|known| {
                    known.upstream == upstream
                        && known.fields == fields
                        && Arc::ptr_eq(known.setter, setter)
                });
                match same {
                    Some(known) => known.routes.push(&route.name),
                    None => sendable.push(ForgeableFields {
                        fields,
                        upstream,
                        setter,
                        on,
                        span: route.span,
                        routes: vec![&route.name],
                    }),
                }
            }
        }
    }
    for one in &sendable {
        warn(config, one, problems);
    }
}

/// The fields that a filter sets and that a client can send past these filters, but for those that were
/// reported.
fn forgeable<'a>(setter: &'a Filter, chain: &[Arc<Filter>], reported: &[&str]) -> Vec<&'a str> {
    let trusted = setter.facts().advice.trusted_fields.iter();
    let mut fields: Vec<&str> = Vec::new();
    for field in trusted.filter(|field| !is_cleared(chain, field)) {
        if !reported.contains(&field.as_str()) && !fields.contains(&field.as_str()) {
            fields.push(field);
        }
    }
    fields
}

fn warn(config: &Config, one: &ForgeableFields<'_>, problems: &mut Problems) {
    let Some(upstream) = config.upstreams.get(one.upstream) else {
        return;
    };
    let name = one.setter.name();
    let list = backticked(one.fields.iter().copied());
    let routes = routes_named(&one.routes);
    let there = match one.routes.len() {
        1 => "here",
        _ => "there",
    };
    problems
        .warning(
            one.span,
            format!(
                "a client can send {list} to upstream `{}` by {routes}; on route `{}` filter `{name}` sets it from what the gateway knows",
                upstream.name, one.on.name
            ),
        )
        .help(format!(
            "put `{name}` into `filters` {there} too, or a filter that removes {list}"
        ));
}

/// Whether no client can send the field past these filters.
fn is_cleared(chain: &[Arc<Filter>], field: &str) -> bool {
    let mut advice = chain.iter().map(|filter| &filter.facts().advice);
    advice.any(|advice| {
        let mut known = advice.trusted_fields.iter().chain(&advice.removed_fields);
        known.any(|known| known == field)
    })
}
