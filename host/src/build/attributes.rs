//! Reports attributes that a filter says it sets, and cannot set.
//!
//! Every request would be refused, or would go on without the attribute, so this is an error. The order
//! of the filters that set and require attributes is checked in [`crate::chain::check_order`].

use super::granted::{allow_line, granted_all, grants, settable};
use super::spans::settings_span;
use crate::config::{self, Config, PluginSource, Problems, backticked};
use crate::exchange::is_host_fact;
use crate::wasm::Filter;

/// Report attributes that belong to the gateway, and those that the filter is not granted.
pub(super) fn check(
    config: &Config,
    filter: &config::FilterConfig,
    loaded: &Filter,
    problems: &mut Problems,
) {
    let grants = grants(config, filter);
    let refused = settable(loaded).filter(|name| !grants.attribute(name));
    let (own, denied): (Vec<_>, Vec<_>) = refused.cloned().partition(|name| is_host_fact(name));
    let name = &filter.name;
    if let Some(first) = own.first() {
        let list = backticked(own.iter().map(String::as_str));
        problems
            .error(
                span(filter, first),
                format!("filter `{name}` sets attribute {list}, which only the gateway sets"),
            )
            .help("name it otherwise: `client.`, `route.`, `request.`, `api.`, `upstream.` and `outcome.` are the gateway's own");
    }
    if let Some(first) = denied.first() {
        let list = backticked(denied.iter().map(String::as_str));
        let granted = match (&filter.plugin, grants.attributes.is_empty()) {
            (PluginSource::Builtin(_), false) => {
                let granted = backticked(grants.attributes.iter().map(String::as_str));
                format!("name it as one of {granted}, or grant it: ")
            }
            _ => "to grant it: ".to_owned(),
        };
        problems
            .error(
                span(filter, first),
                format!("filter `{name}` sets attribute {list}, which it is not granted"),
            )
            .help(format!(
                "{granted}{}",
                allow_line(&granted_all(grants, loaded))
            ));
    }
}

/// Where the settings name the attribute, if they do so as those of `builtin:jwt`.
fn span(filter: &config::FilterConfig, attribute: &str) -> config::Span {
    let at = format!("/attributes/{attribute}");
    match filter.settings.json.pointer(&at) {
        Some(_) => settings_span(filter, &at),
        None => filter.plugin_span,
    }
}
