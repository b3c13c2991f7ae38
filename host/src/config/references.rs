//! References between parts, resolved once all are read: the index of a name in the file becomes
//! the index in the list of what could be read.
//!
//! The two differ only if something before it could not be read, so only in a configuration that has
//! errors: the checks that look for more of them follow the references too.

use super::names::{Group, Names};
use super::section::{Config, KeysFrom, NOWHERE, RouteEnd, StorePlace};

/// Resolves all references of a configuration.
pub(super) fn resolve(config: &mut Config, names: &Names) {
    let secrets = indexes(names, Group::Secret, &config.secrets, |one| &one.name);
    let callouts = indexes(names, Group::Callout, &config.callouts, |one| &one.name);
    let apis = indexes(names, Group::Api, &config.apis, |one| &one.name);
    let plans = indexes(names, Group::Plan, &config.plans, |one| &one.name);
    let filters = indexes(names, Group::Filter, &config.filters, |one| &one.name);
    let upstreams = indexes(names, Group::Upstream, &config.upstreams, |one| &one.name);
    for route in &mut config.routes {
        apis.resolve(&mut route.api);
        filters.resolve(route.filters.iter_mut().map(|one| &mut one.filter));
        match &mut route.end {
            RouteEnd::Upstream(index) => upstreams.resolve([index]),
            RouteEnd::Split(split) => {
                upstreams.resolve(split.groups.iter_mut().map(|(index, _)| index));
            }
            RouteEnd::Respond(_) | RouteEnd::Redirect(_) => {}
        }
    }
    let allowed = config
        .filters
        .iter_mut()
        .filter_map(|one| one.allow.as_mut());
    for allow in allowed {
        upstreams.resolve(&mut allow.upstreams);
        secrets.resolve(&mut allow.secrets);
        callouts.resolve(&mut allow.callouts);
    }
    for upstream in &mut config.upstreams {
        let sticky = upstream.balance.sticky.iter_mut();
        secrets.resolve(sticky.map(|sticky| &mut sticky.secret));
    }
    for plan in &mut config.plans {
        apis.resolve(&mut plan.apis);
    }
    for key in &mut config.keys {
        plans.resolve(&mut key.plans);
    }
    let tokens = config.admin.iter_mut().flat_map(|admin| &mut admin.tokens);
    secrets.resolve(tokens.map(|token| &mut token.secret));
    for verifier in &mut config.verifiers {
        if let KeysFrom::Secret(index) = &mut verifier.keys {
            secrets.resolve([index]);
        }
    }
    if let Some(store) = &mut config.store
        && let StorePlace::Redis(redis) = &mut store.place
    {
        secrets.resolve(&mut redis.password);
    }
}

/// The index in the list, by the index in the file.
struct Indexes(Vec<usize>);

impl Indexes {
    fn resolve<'a>(&self, references: impl IntoIterator<Item = &'a mut usize>) {
        for index in references {
            *index = self.0.get(*index).copied().unwrap_or(NOWHERE);
        }
    }
}

/// Both are in the order of the file.
fn indexes<T>(names: &Names, group: Group, list: &[T], name: fn(&T) -> &str) -> Indexes {
    let mut rest = list.iter().enumerate().peekable();
    let indexes = names.of(group).map(|text| {
        let found = rest.next_if(|(_, one)| name(one) == text);
        found.map_or(NOWHERE, |(index, _)| index)
    });
    Indexes(indexes.collect())
}
