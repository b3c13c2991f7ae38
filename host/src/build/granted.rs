//! The grants of a filter: from its `allow`, or from the list that comes with a `builtin:` plugin.
//!
//! [`super::filters`] loads a filter with them, and the lints read them. Whether a call is granted
//! is decided in [`crate::wasm::grants`], at run time.

use super::named_grants;
use crate::config::{self, Config, PluginSource};
use crate::exchange::is_host_fact;
use crate::model::filter::HostInterface;
use crate::model::word::Word as _;
use crate::wasm::Filter;
use crate::wasm::grants::Grants;

/// The grants of a filter: its `allow`, or the list of its `builtin:` plugin.
pub(super) fn grants(config: &Config, filter: &config::FilterConfig) -> Grants {
    if let Some(allow) = &filter.allow {
        let upstreams = allow.upstreams.iter();
        let secrets = allow.secrets.iter();
        return Grants {
            interfaces: allow.interfaces.clone(),
            attributes: allow.attributes.clone(),
            upstreams: upstreams
                .filter_map(|place| Some(config.upstreams.get(*place)?.name.clone()))
                .collect(),
            secrets: secrets
                .filter_map(|place| Some(config.secrets.get(*place)?.name.clone()))
                .collect(),
            callouts: allow
                .callouts
                .iter()
                .filter_map(|place| Some(config.callouts.get(*place)?.name.clone()))
                .collect(),
        };
    }
    let PluginSource::Builtin(plugin) = &filter.plugin else {
        return Grants::default();
    };
    let Some(builtin) = windlass_builtin_plugins::builtin(plugin) else {
        return Grants::default();
    };
    let interfaces = builtin.interfaces.iter();
    Grants {
        interfaces: interfaces
            .filter_map(|name| HostInterface::of_word(name))
            .collect(),
        attributes: builtin.attributes.iter().map(|&name| name.into()).collect(),
        upstreams: Vec::new(),
        secrets: named_grants::secrets(config, filter, builtin),
        callouts: named_grants::callouts(config, filter, builtin),
    }
}

/// The grants of a filter, and beside them all that it uses and can be granted.
pub(super) fn granted_all(mut grants: Grants, loaded: &Filter) -> Grants {
    let facts = loaded.facts();
    let set = facts.provides.iter().chain(&facts.sometimes);
    let denied = set.filter(|name| !grants.attribute(name) && !is_host_fact(name));
    let denied: Vec<_> = denied.cloned().collect();
    grants.attributes.extend(denied);
    grants.interfaces.extend(loaded.denied());
    grants
}

/// The grants as the line of the file that says them.
pub(super) fn allow_line(grants: &Grants) -> String {
    let list = |key: &str, names: &mut dyn Iterator<Item = &str>| {
        let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
        (!names.is_empty()).then(|| format!("{key} = [{}]", names.join(", ")))
    };
    let parts = [
        list(
            "interfaces",
            &mut grants.interfaces.iter().map(|interface| interface.word()),
        ),
        list(
            "attributes",
            &mut grants.attributes.iter().map(String::as_str),
        ),
        list(
            "upstreams",
            &mut grants.upstreams.iter().map(|name| &**name),
        ),
        list("secrets", &mut grants.secrets.iter().map(|name| &**name)),
        list("callouts", &mut grants.callouts.iter().map(|name| &**name)),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("allow = {{ {} }}", parts.join(", "))
}
