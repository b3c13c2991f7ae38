//! References between parts, settled once all are read: a name's place in the file becomes the place
//! in its list.
//!
//! The two differ only where something before it could not be read, so in a configuration that has
//! errors: whoever looks for what else is wrong follows the references too.

use super::names::{Group, Names};
use super::section::{Config, KeysFrom, NOWHERE, RouteEnd, StorePlace};

/// Settles all references of a configuration.
pub(super) fn settle(config: &mut Config, names: &Names) {
    let secrets = places(names, Group::Secret, &config.secrets, |one| &one.name);
    let callouts = places(names, Group::Callout, &config.callouts, |one| &one.name);
    let apis = places(names, Group::Api, &config.apis, |one| &one.name);
    let plans = places(names, Group::Plan, &config.plans, |one| &one.name);
    let filters = places(names, Group::Filter, &config.filters, |one| &one.name);
    let upstreams = places(names, Group::Upstream, &config.upstreams, |one| &one.name);
    for route in &mut config.routes {
        route.api.iter_mut().for_each(|api| apis.settle(api));
        for reference in &mut route.filters {
            filters.settle(&mut reference.filter);
        }
        match &mut route.end {
            RouteEnd::Upstream(place) => upstreams.settle(place),
            RouteEnd::Split(split) => {
                for (place, _) in &mut split.groups {
                    upstreams.settle(place);
                }
            }
            RouteEnd::Respond(_) | RouteEnd::Redirect(_) => {}
        }
    }
    for allow in config
        .filters
        .iter_mut()
        .filter_map(|one| one.allow.as_mut())
    {
        allow
            .upstreams
            .iter_mut()
            .for_each(|one| upstreams.settle(one));
        allow.secrets.iter_mut().for_each(|one| secrets.settle(one));
        allow
            .callouts
            .iter_mut()
            .for_each(|one| callouts.settle(one));
    }
    for upstream in &mut config.upstreams {
        let sticky = upstream.balance.sticky.iter_mut();
        sticky.for_each(|sticky| secrets.settle(&mut sticky.secret));
    }
    for plan in &mut config.plans {
        plan.apis.iter_mut().for_each(|one| apis.settle(one));
    }
    for key in &mut config.keys {
        key.plans.iter_mut().for_each(|one| plans.settle(one));
    }
    let tokens = config.admin.iter_mut().flat_map(|admin| &mut admin.tokens);
    tokens.for_each(|token| secrets.settle(&mut token.secret));
    for verifier in &mut config.verifiers {
        if let KeysFrom::Secret(place) = &mut verifier.keys {
            secrets.settle(place);
        }
    }
    if let Some(store) = &mut config.store
        && let StorePlace::Redis(redis) = &mut store.place
    {
        redis
            .password
            .iter_mut()
            .for_each(|one| secrets.settle(one));
    }
}

/// The place in the list, by the place in the file.
struct Places(Vec<usize>);

impl Places {
    fn settle(&self, place: &mut usize) {
        *place = self.0.get(*place).copied().unwrap_or(NOWHERE);
    }
}

/// Both are in the order of the file.
fn places<T>(names: &Names, group: Group, list: &[T], name: fn(&T) -> &str) -> Places {
    let mut rest = list.iter().enumerate().peekable();
    let places = names.of(group).map(|text| {
        let found = rest.next_if(|(_, one)| name(one) == text);
        found.map_or(NOWHERE, |(place, _)| place)
    });
    Places(places.collect())
}
