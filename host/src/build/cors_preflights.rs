//! Warns of filters that may refuse a request before the filter that answers preflights (CORS).
//!
//! A filter that refuses ends the request phases, and the filters after it do not see its refusal. If
//! the CORS filter is among those, no page can read the refusal. This is only a warning: Windlass does
//! not know whether a filter ever refuses.

use std::sync::Arc;

use crate::config::{Config, Problems, backticked};
use crate::wasm::Filter;

/// Warn of each route on which filters may refuse before one that answers preflights.
pub(super) fn check(config: &Config, chains: &[Vec<Arc<Filter>>], problems: &mut Problems) {
    for (route, chain) in config.routes.iter().zip(chains) {
        let answers = |filter: &Arc<Filter>| filter.facts().advice.preflights;
        let Some(index) = chain.iter().position(answers) else {
            continue;
        };
        let before = chain.iter().take(index);
        let before: Vec<_> = before.filter(|filter| filter.phases().request).collect();
        let (Some(filter), Some(reference)) = (chain.get(index), route.filters.get(index)) else {
            continue;
        };
        if before.is_empty() {
            continue;
        }
        let name = filter.name();
        let list = backticked(before.iter().map(|filter| &**filter.name()));
        let message = format!(
            "filter `{name}` sees nothing of what a filter before it refuses ({list}): no web page can read that"
        );
        problems
            .warning_of(route, message)
            .at(reference.span)
            .help(format!("put `{name}` first"));
    }
}
