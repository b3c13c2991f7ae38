//! Keys that nobody checks, checks that nobody passes, and checks that are left out.

use std::time::SystemTime;

use crate::build::granted::grants;
use crate::config::{Config, FilterConfig, Key, OnError, PluginSource, Problems};
use crate::model::filter::HostInterface;

/// Look at the filters that check keys, and at what they check.
pub(super) fn lint(config: &Config, problems: &mut Problems) {
    let used = |place: usize| {
        let mut routes = config.routes.iter();
        routes.any(|route| route.filters.iter().any(|one| one.filter == place))
    };
    let all = config.filters.iter().enumerate();
    let all = all.filter(|(place, _)| used(*place));
    for (_, filter) in all.clone() {
        warn_of_skip(config, filter, problems);
    }
    let checks = all.filter(|(_, filter)| has(config, filter, HostInterface::Keys));
    let checks: Vec<&FilterConfig> = checks.map(|(_, filter)| filter).collect();
    for filter in &checks {
        let is_own = filter.plugin == PluginSource::Builtin("api-key".to_owned());
        if is_own && config.keys.is_empty() && config.store.is_none() {
            let message = format!(
                "filter `{}` checks keys, and there are none: every request is refused",
                filter.name
            );
            problems
                .warning(filter.span, message)
                .help("add a `[[key]]`, which `windlass key new` prints, or a `[store]`");
        }
    }
    ended(config, problems);
    if let (true, Some(key)) = (checks.is_empty(), config.keys.first()) {
        let message = format!(
            "key `{}` opens nothing: no filter of any route checks keys",
            key.id
        );
        problems
            .warning(key.span, message)
            .help("put a filter with `plugin = \"builtin:api-key\"` into the `filters` of a route");
    }
}

/// Keys whose time is over.
fn ended(config: &Config, problems: &mut Problems) {
    let now = SystemTime::now();
    let is_over = |key: &&Key| key.enabled && key.expires.is_some_and(|end| end <= now);
    let mut over = config.keys.iter().filter(is_over);
    let Some(first) = over.next() else { return };
    let more = match over.count() {
        0 => String::new(),
        1 => " (and one more key)".to_owned(),
        more => format!(" (and {more} more keys)"),
    };
    let message = format!(
        "key `{}`{more} has expired: requests with it are refused",
        first.id
    );
    problems
        .warning(first.span, message)
        .help("remove it, or give it a later `expires`");
}

/// Whether a filter may use this interface.
fn has(config: &Config, filter: &FilterConfig, interface: HostInterface) -> bool {
    let granted = grants(config, filter).interfaces;
    granted.contains(&interface)
}

/// A filter that lets requests pass by their credentials opens its routes where it is left out.
fn warn_of_skip(config: &Config, filter: &FilterConfig, problems: &mut Problems) {
    if filter.on_error != OnError::Skip {
        return;
    }
    let work = [
        (HostInterface::Keys, "checks keys", "a key"),
        (HostInterface::Jwt, "verifies tokens", "a token"),
    ];
    let mut work = work.into_iter();
    let Some((_, checks, credential)) =
        work.find(|(interface, ..)| has(config, filter, *interface))
    else {
        return;
    };
    let message = format!(
        "filter `{}` {checks}, and is left out when it fails (`on_error = \"skip\"`): requests pass without {credential} then",
        filter.name
    );
    problems
        .warning(filter.span, message)
        .help("write `on_error = \"deny\"`, which is the default");
}
