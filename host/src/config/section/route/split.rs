//! `split` of a route: several upstreams, each with its share.

use std::collections::HashSet;

use windlass_config_derive::FromTable;

use crate::config::MAX_WEIGHT;
use crate::config::field::Reference;
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::section::HashKey;
use crate::config::value::balance::other_param;
use crate::config::value::path;

/// Several upstreams, each with its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSplit {
    /// Indexes in the configuration's list of upstreams, and weights.
    pub(crate) groups: Vec<(usize, u32)>,
    /// The key that keeps a request's sender in its group. None: chance.
    pub(crate) on: Option<HashKey>,
}

#[derive(FromTable)]
#[table(into = Option<RouteSplit>, make = split)]
pub(super) struct SplitKeys {
    /// Several upstreams instead of `upstream`, each with a share of the requests: for a canary.
    #[key(
        absent = "one upstream",
        entries = ShareKeys,
        least = 2,
        few = "for one upstream, write `upstream = \"<name>\"` in the place of `split`"
    )]
    split: Vec<(usize, u32)>,
    /// The key that keeps a client on one upstream of `split`: a larger weight then only moves
    /// clients to that upstream. Requests without the key are split at random.
    #[key(absent = "at random, for each request")]
    split_on: Option<HashKey>,
}

/// An upstream, and its share of the route's requests.
#[derive(FromTable)]
#[table(heading = "split = [{ .. }]", short = "upstream", into = (usize, u32), make = share)]
struct ShareKeys {
    /// The upstream.
    #[key(required = "<name>", kind = Reference(Group::Upstream), synonyms = "name")]
    upstream: usize,
    /// Its share of the requests, relative to the others. 0 gets none.
    #[key(required = 5, within = 0..=MAX_WEIGHT)]
    weight: u32,
}

fn share(_table: &mut Table<'_>, keys: ShareKeys) -> (usize, u32) {
    (keys.upstream, keys.weight)
}

/// The shares of several upstreams.
fn split(table: &mut Table<'_>, keys: SplitKeys) -> Option<RouteSplit> {
    let groups = keys.split;
    if !table.has("split") {
        table.idle(&["split_on"], "without `split`");
        return None;
    }
    let idle = groups.iter().all(|(_, weight)| *weight == 0);
    if idle && !groups.is_empty() && table.is_sound("split") {
        table
            .error_at(
                "split",
                "every upstream of `split` has weight 0, so none would take a request",
            )
            .help("give one of them a weight from 1 to 1000");
    }
    let indexes: HashSet<usize> = groups.iter().map(|(index, _)| *index).collect();
    if indexes.len() < groups.len() {
        table
            .error_at("split", "`split` names an upstream twice")
            .help("write it once, with the sum of the weights");
    }
    (!groups.is_empty()).then_some(RouteSplit {
        groups,
        on: keys.split_on,
    })
}

/// Reports a path parameter to split on that the route's own path does not have.
pub(super) fn param(table: &mut Table<'_>, split: &RouteSplit, path: &str) {
    let Some(HashKey::Param(name)) = &split.on else {
        return;
    };
    if path::parameters(path).any(|known| known == name) {
        return;
    }
    let message = format!("`split_on` names the parameter `{name}`, which `path` does not have");
    let help = other_param(name, std::iter::once(path));
    table.error_at("split_on", &message).help(help);
}
