//! The grants of a filter: from its `allow`, or from the list that comes with a `builtin:` plugin.
//!
//! [`super::filters`] loads a filter with them, and the lints read them. Whether a call is granted
//! is decided in [`crate::wasm::grants`], at run time.

use super::named_grants::{self, builtin};
use crate::config::{self, Config};
use crate::exchange::is_host_fact;
use crate::model::filter::HostInterface;
use crate::model::word::Word as _;
use crate::wasm::Filter;
use crate::wasm::grants::Grants;

/// The grants of a filter: its `allow`, or the list of its `builtin:` plugin.
pub(super) fn grants(config: &Config, filter: &config::FilterConfig) -> Grants {
    if let Some(allow) = &filter.allow {
        let upstreams = allow
            .upstreams
            .iter()
            .filter_map(|index| config.upstreams.get(*index));
        let secrets = allow
            .secrets
            .iter()
            .filter_map(|index| config.secrets.get(*index));
        let callouts = allow
            .callouts
            .iter()
            .filter_map(|index| config.callouts.get(*index));
        return Grants {
            interfaces: allow.interfaces.clone(),
            attributes: allow.attributes.clone(),
            upstreams: upstreams.map(|one| one.name.clone()).collect(),
            secrets: secrets.map(|one| one.name.clone()).collect(),
            callouts: callouts.map(|one| one.name.clone()).collect(),
        };
    }
    let Some(builtin) = builtin(filter) else {
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

/// The attributes that a filter sets, always or in some cases.
pub(super) fn settable(loaded: &Filter) -> impl Iterator<Item = &String> {
    let facts = loaded.facts();
    facts.provides.iter().chain(&facts.sometimes)
}

/// The grants of a filter, and beside them all that it uses and can be granted.
pub(crate) fn granted_all(mut grants: Grants, loaded: &Filter) -> Grants {
    let denied = settable(loaded).filter(|name| !grants.attribute(name) && !is_host_fact(name));
    let denied: Vec<_> = denied.cloned().collect();
    grants.attributes.extend(denied);
    grants.interfaces.extend(loaded.denied());
    grants
}

/// The grants as the line of the file that says them.
pub(crate) fn allow_line(grants: &Grants) -> String {
    fn list<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
        let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
        (!names.is_empty()).then(|| format!("{key} = [{}]", names.join(", ")))
    }
    let interfaces = grants.interfaces.iter();
    let parts = [
        list("interfaces", interfaces.map(|interface| interface.word())),
        list("attributes", grants.attributes.iter().map(|name| &**name)),
        list("upstreams", grants.upstreams.iter().map(|name| &**name)),
        list("secrets", grants.secrets.iter().map(|name| &**name)),
        list("callouts", grants.callouts.iter().map(|name| &**name)),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("allow = {{ {} }}", parts.join(", "))
}
