//! `split` of a route: several upstreams, each with its share.

use std::collections::HashSet;

use crate::config::field::{
    Empty, Entries, Field, Optional, Parsed, Reference, Required, Section, Whole,
};
use crate::config::model::{HashKey, RouteSplit};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::section::upstream::HASH_KEY;
use crate::config::value::balance::other_param;
use crate::config::value::path;

pub(super) static SPLIT: Field<Entries<(usize, u32)>, Empty> = Field::new(
    "split",
    Entries {
        section: &SHARE,
        least: 2,
        few: "for one upstream, write `upstream = \"<name>\"` in the place of `split`",
        title: None,
        read: share,
    },
    Empty("one upstream"),
    "Several upstreams in the place of `upstream`, each with its share: for a canary.",
);

pub(super) static SPLIT_ON: Field<Parsed<HashKey>, Optional> = Field::new(
    "split_on",
    HASH_KEY,
    Optional("chance, for each request"),
    "The key that keeps a sender with its upstream of `split`; raising a weight then only moves senders to it. A request without it goes by chance.",
);

/// `split = [{ .. }]`.
static SHARE: Section = Section {
    heading: "split = [{ .. }]",
    doc: "An upstream, and its share of the route's requests.",
    fields: &[&UPSTREAM, &WEIGHT],
    hints: &[("name", "it is called `upstream`")],
    short: Some("upstream"),
    private: false,
};

static UPSTREAM: Field<Reference, Required> = Field::new(
    "upstream",
    Reference(Group::Upstream),
    Required("\"<name>\""),
    "The upstream.",
);

static WEIGHT: Field<Whole<u32>, Required> = Field::new(
    "weight",
    Whole {
        least: 0,
        most: 1000,
        of: |number| u32::try_from(number).ok(),
    },
    Required("5"),
    "Its share, relative to the others; 0 takes none.",
);

fn share(table: &mut Table<'_>) -> Option<(usize, u32)> {
    let upstream = table.take(&UPSTREAM);
    let weight = table.take(&WEIGHT);
    Some((upstream?.place, weight?))
}

/// The shares of several upstreams.
pub(super) fn split(table: &mut Table<'_>) -> Option<RouteSplit> {
    let groups = table.take(&SPLIT);
    let on = table.take(&SPLIT_ON);
    if !table.has(SPLIT.key) {
        table.idle(&[SPLIT_ON.key], "without `split`");
        return None;
    }
    let idle = groups.iter().all(|(_, weight)| *weight == 0);
    if idle && !groups.is_empty() && table.is_sound(SPLIT.key) {
        let span = table.span_of(SPLIT.key);
        table
            .error(
                span,
                "every upstream of `split` has weight 0, so none would take a request",
            )
            .help("give one of them a weight from 1 to 1000");
    }
    let places: HashSet<usize> = groups.iter().map(|(place, _)| *place).collect();
    if places.len() < groups.len() {
        let span = table.span_of(SPLIT.key);
        table
            .error(span, "`split` names an upstream twice")
            .help("write it once, with the sum of the weights");
    }
    (!groups.is_empty()).then_some(RouteSplit { groups, on })
}

/// Reports a path parameter to split on that the route's own path does not have.
pub(super) fn param(table: &mut Table<'_>, split: &RouteSplit, path: &str) {
    let Some(HashKey::Param(name)) = &split.on else {
        return;
    };
    if path::parameters(path).any(|known| known == name) {
        return;
    }
    let span = table.span_of(SPLIT_ON.key);
    let message = format!("`split_on` names the parameter `{name}`, which `path` does not have");
    let help = other_param(name, std::iter::once(path));
    table.error(span, &message).help(help);
}
