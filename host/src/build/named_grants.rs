//! The callouts, secrets and verifiers that the settings of a `builtin:` filter name.
//!
//! The operator grants them by naming them. A name that does not exist is an error at its place in the
//! file, before the first request.

use std::sync::Arc;

use serde_json::Value;
use windlass_builtin_plugins::BuiltinPlugin;

use crate::config::{self, Config, PluginSource, Problems};

/// The plugin of a filter, if it comes with the gateway.
pub(super) fn builtin(filter: &config::FilterConfig) -> Option<&'static BuiltinPlugin> {
    match &filter.plugin {
        PluginSource::Builtin(name) => windlass_builtin_plugins::builtin(name),
        PluginSource::File(_) | PluginSource::Artifact(_) | PluginSource::Download(_) => None,
    }
}

/// The callouts that a filter without `allow` may ask.
pub(super) fn callouts(
    config: &Config,
    filter: &config::FilterConfig,
    builtin: &BuiltinPlugin,
) -> Vec<Arc<str>> {
    let known = config.callouts.iter().map(|callout| &callout.name);
    granted(filter, builtin.callouts, known)
}

/// The secrets that a filter without `allow` may use.
pub(super) fn secrets(
    config: &Config,
    filter: &config::FilterConfig,
    builtin: &BuiltinPlugin,
) -> Vec<Arc<str>> {
    let known = config.secrets.iter().map(|secret| &secret.name);
    granted(filter, builtin.secrets, known)
}

fn granted<'a>(
    filter: &config::FilterConfig,
    pointers: &[&str],
    known: impl Iterator<Item = &'a Arc<str>>,
) -> Vec<Arc<str>> {
    let named = pointers.iter().filter_map(|pointer| {
        let named = filter.settings.json.pointer(pointer)?;
        named.as_str()
    });
    let named: Vec<_> = named.collect();
    let known = known.filter(|name| named.contains(&&***name));
    known.cloned().collect()
}

/// Names that nothing has, in the settings of the first-party filters.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    for filter in &config.filters {
        let Some(builtin) = builtin(filter) else {
            continue;
        };
        let names: Vec<&str> = config.callouts.iter().map(|one| &*one.name).collect();
        for pointer in builtin.callouts {
            check_name(filter, pointer, ("callout", &names), problems);
        }
        let names: Vec<&str> = config.secrets.iter().map(|one| &*one.name).collect();
        for pointer in builtin.secrets {
            check_name(filter, pointer, ("secret", &names), problems);
        }
        if builtin.name == "jwt" {
            let names: Vec<&str> = config.verifiers.iter().map(|one| &*one.name).collect();
            for (index, _) in filter.list_setting("verifiers") {
                let pointer = format!("/verifiers/{index}");
                check_name(filter, &pointer, ("verifier", &names), problems);
            }
        }
    }
}

fn check_name(
    filter: &config::FilterConfig,
    pointer: &str,
    (kind, known): (&str, &[&str]),
    problems: &mut Problems,
) {
    let named = filter.settings.json.pointer(pointer);
    let Some(name) = named.and_then(Value::as_str) else {
        return;
    };
    if known.contains(&name) {
        return;
    }
    let message = format!(
        "filter `{}` names {kind} `{}`, which does not exist",
        filter.name,
        name.escape_debug()
    );
    let help = config::did_you_mean(name, known.iter().copied());
    problems
        .error(filter.span_at(pointer), message)
        .help(help.unwrap_or_else(|| format!("add a `[{kind}.<name>]`")));
}
