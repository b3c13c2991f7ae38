//! Checks of all endpoints together: labels and counts that none of them can meet.
//!
//! Warnings, not errors: the admin API adds endpoints, and labels with them.

use std::collections::{BTreeMap, BTreeSet};

use super::balance::Balance;
use super::ejection::Ejection;
use super::endpoint::Endpoint;
use crate::config::read::Table;
use crate::config::value::{backticked, nearest};
use crate::model::balance::Threshold;

/// Warns of what no endpoint, or too few of them, can meet.
pub(super) fn check(table: &mut Table<'_>, endpoints: &[Endpoint], balance: &Balance) {
    if endpoints.is_empty() || !table.is_sound("endpoints") || table.is_incomplete() {
        return;
    }
    prefer(table, endpoints, &balance.prefer);
    idle_groups(table, endpoints);
    let groups = groups(endpoints, &balance.prefer);
    if groups.len() == 1 && table.is_sound("prefer") {
        let why = "as all endpoints are one group, by `priority` and `prefer`";
        table.idle(&["failover"], why);
    }
    // A name may stand for many endpoints.
    if endpoints.iter().all(|endpoint| endpoint.socket().is_some()) {
        alone(table, endpoints);
        fail_open(table, &groups, balance.fail_open);
        failover(table, &groups, balance.failover);
    }
}

/// How many endpoints take requests of each group, the first to be used first.
fn groups(endpoints: &[Endpoint], prefer: &BTreeMap<String, String>) -> Vec<u32> {
    let mut groups: BTreeMap<(u8, bool), u32> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.weight > 0) {
        let preferred = prefer.iter().all(|label| carries(endpoint, label));
        *groups.entry((endpoint.priority, !preferred)).or_default() += 1;
    }
    groups.into_values().collect()
}

fn carries(endpoint: &Endpoint, (name, value): (&String, &String)) -> bool {
    endpoint.labels.get(name) == Some(value)
}

/// Labels that no endpoint has, or none all of them.
fn prefer(table: &mut Table<'_>, endpoints: &[Endpoint], prefer: &BTreeMap<String, String>) {
    let mut is_told = false;
    for label in prefer {
        let (name, value) = label;
        if endpoints.iter().any(|endpoint| carries(endpoint, label)) {
            continue;
        }
        is_told = true;
        let span = table.span_of_part("prefer", name);
        let message = format!(
            "`prefer` wants the label `{name} = \"{}\"`, which no endpoint has: nothing is preferred",
            value.escape_debug()
        );
        table
            .warning(span, &message)
            .help(meant(endpoints, name, value));
    }
    let all = |endpoint: &Endpoint| prefer.iter().all(|label| carries(endpoint, label));
    if !is_told && !endpoints.iter().any(all) {
        let message = "`prefer` wants labels that no endpoint has together: nothing is preferred";
        table
            .warning_at("prefer", message)
            .help("an endpoint is preferred that carries all of them");
    }
}

/// The labels that endpoints have in its place.
fn meant(endpoints: &[Endpoint], name: &str, value: &str) -> String {
    let labels = endpoints.iter().flat_map(|endpoint| &endpoint.labels);
    let same = labels.clone().filter(|(known, _)| *known == name);
    let values: BTreeSet<&str> = same.map(|(_, value)| value.as_str()).collect();
    if !values.is_empty() {
        return format!("endpoints have `{name}`: {}", backticked(values));
    }
    match nearest(name, labels.map(|(known, _)| known.as_str())) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("give it to some: `labels = {{ {name} = \"{value}\" }}`"),
    }
}

/// Keys that matter between several endpoints only.
fn alone(table: &mut Table<'_>, endpoints: &[Endpoint]) {
    if endpoints.len() == 1 {
        for key in ["slow_start", "sticky"] {
            if table.is_sound(key) {
                table.idle(&[key], "with a single endpoint, which gets all requests");
            }
        }
    }
}

/// A share of the endpoints that is none of them.
pub(super) fn share(table: &mut Table<'_>, endpoints: &[Endpoint], ejection: &Ejection) {
    let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
    let most = count.saturating_mul(ejection.max_share) / 100;
    let is_on = ejection.faults > 0 || ejection.min_success > 0;
    if most > 0
        || count < 2
        || ejection.max_share == 0
        || !is_on
        || !table.is_sound("ejection")
        || !table.is_sound("endpoints")
        || table.is_incomplete()
        || endpoints.iter().any(|endpoint| endpoint.socket().is_none())
    {
        return;
    }
    let message = format!(
        "`ejection.max_share` is {}, which is none of {count} endpoints, rounded down: none is ever taken out",
        ejection.max_share
    );
    let span = table.span_of_part("ejection", "max_share");
    let least = 100_u32.div_ceil(count);
    table
        .warning(span, &message)
        .help(format!("for one of {count} write at least {least}"));
}

/// Endpoints to fall back on that take no request.
fn idle_groups(table: &mut Table<'_>, endpoints: &[Endpoint]) {
    // The first endpoint of each tier, and whether any of it takes requests.
    let mut tiers: BTreeMap<u8, (&Endpoint, bool)> = BTreeMap::new();
    for endpoint in endpoints {
        let (_, is_taken) = tiers.entry(endpoint.priority).or_insert((endpoint, false));
        *is_taken |= endpoint.weight > 0;
    }
    // The case of all of them has an error of its own.
    if tiers.values().all(|(_, is_taken)| !is_taken) {
        return;
    }
    for (priority, (first, _)) in tiers.into_iter().filter(|(_, (_, is_taken))| !is_taken) {
        let message = format!(
            "every endpoint with `priority = {priority}` has weight 0: the group never takes a request"
        );
        table
            .warning(first.span, &message)
            .help("give one of them a weight from 1 to 1000; a group that is to wait does so by its `priority`");
    }
}

/// A count that no group reaches: the gateway would never look at health.
fn fail_open(table: &mut Table<'_>, groups: &[u32], threshold: Threshold) {
    let Some(most) = groups.iter().max() else {
        return;
    };
    let is_all = [Threshold::Count(*most), Threshold::Percent(100)].contains(&threshold);
    if is_all && *most > 1 {
        let message = "`fail_open` is all endpoints: when one of them is unhealthy or ejected, it gets requests as before";
        table
            .warning_at("fail_open", message)
            .help("write fewer than there are, such as `\"50%\"`");
    }
    if let Threshold::Count(count) = threshold
        && count > *most
    {
        let message = format!(
            "`fail_open` is {count}, more than the endpoints of any group ({most}): all are used always, unhealthy and ejected ones too"
        );
        table.warning_at("fail_open", &message).help(format!(
            "write at most `\"{most}\"`, or a share such as `\"50%\"`"
        ));
    }
}

/// A count that some groups do not reach: a group with enough is used, whichever that is, and
/// without one the first that has any.
fn failover(table: &mut Table<'_>, groups: &[u32], threshold: Threshold) {
    let (Threshold::Count(count), Some((first, later))) = (threshold, groups.split_first()) else {
        return;
    };
    let most = later.iter().max().copied().unwrap_or_default();
    let (message, least) = match (*first >= count, most >= count) {
        // One group alone has been told of.
        _ if later.is_empty() => return,
        (true, true) => return,
        (true, false) => (
            format!(
                "no later group has as many ({most}): the first gives way when none of it is left"
            ),
            most,
        ),
        (false, true) => (
            format!(
                "the first group has only {first}: it gets nothing while a later one has enough"
            ),
            *first,
        ),
        (false, false) => (
            format!(
                "no group has as many ({}): it works as `\"1\"` does",
                most.max(*first)
            ),
            most.min(*first),
        ),
    };
    let message = format!("`failover` is {count}, but {message}");
    let help = format!("write at most `\"{least}\"`, or a share such as `\"50%\"`");
    table.warning_at("failover", &message).help(help);
}
