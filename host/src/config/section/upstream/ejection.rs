//! `ejection` of an upstream: which endpoints are taken out by the results of requests.

use std::time::Duration;

use crate::config::field::{Field, Is, Optional, Parsed, Section, Time, Whole};
use crate::config::model::{Ejection, StatusRanges};
use crate::config::read::Table;
use crate::config::value::duration;

/// `ejection = { .. }`.
pub(super) static EJECTION: Section = Section {
    heading: "ejection = { .. }",
    doc: "Takes an endpoint out for a while by the results of requests. A fault: no connection, none in time, an end before the response's head, no answer in time, or one of `statuses`.",
    fields: &[
        &FAULTS,
        &MIN_SUCCESS,
        &MIN_REQUESTS,
        &SHARE_INTERVAL,
        &STATUSES,
        &BACKOFF,
        &MAX_BACKOFF,
        &MAX_SHARE,
    ],
    hints: &[
        ("false", "for no ejection write `{ faults = 0 }`"),
        ("true", "it is on where it is left out"),
        ("enabled", "for no ejection write `faults = 0`"),
        ("errors", "it is called `faults`"),
        ("failures", "it is called `faults`"),
        ("max_fails", "it is called `faults`"),
        ("consecutive_errors", "it is called `faults`"),
        ("consecutive_5xx", "it is called `faults`"),
        ("duration", "it is called `backoff`"),
        ("fail_timeout", "it is called `backoff`"),
        ("base_ejection_time", "it is called `backoff`"),
        ("max_ejection_time", "it is called `max_backoff`"),
        ("max_ejection_percent", "it is called `max_share`"),
    ],
    short: Some("faults"),
    private: false,
};

static FAULTS: Field<Whole<u32>, Is<u32>> = Field::new(
    "faults",
    Whole {
        least: 0,
        most: 10_000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(5),
    "After so many faults in a row; 0: never.",
);

static MIN_SUCCESS: Field<Whole<u32>, Is<u32>> = Field::new(
    "min_success",
    PERCENT,
    Is(0),
    "When a smaller share of an interval's results is good; in percent, 0: never.",
);

const PERCENT: Whole<u32> = Whole {
    least: 0,
    most: 100,
    of: |number| u32::try_from(number).ok(),
};

static MIN_REQUESTS: Field<Whole<u32>, Is<u32>> = Field::new(
    "min_requests",
    Whole {
        least: 1,
        most: 1_000_000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(50),
    "With fewer results in an interval, no share is told.",
);

static SHARE_INTERVAL: Field<Time, Is<Duration>> = Field::new(
    "interval",
    Time {
        least: Duration::from_millis(100),
        most: Duration::from_hours(1),
    },
    Is(Duration::from_secs(10)),
    "The time over which the share of good results is told.",
);

static STATUSES: Field<Parsed<StatusRanges>, Optional> = Field::new(
    "statuses",
    super::STATUSES,
    Optional("none"),
    "Statuses that are faults of the endpoint too. They count for all routes: list those that only a broken endpoint answers with.",
);

static BACKOFF: Field<Time, Is<Duration>> = Field::new(
    "backoff",
    Time::USUAL,
    Is(Duration::from_secs(10)),
    "How long it is out the first time; twice as long with each time after that, until it has been well for as long as it was out.",
);

static MAX_BACKOFF: Field<Time, Is<Duration>> = Field::new(
    "max_backoff",
    Time::USUAL,
    Is(Duration::from_mins(5)),
    "The longest that it is out; at least `backoff`.",
);

pub(super) static MAX_SHARE: Field<Whole<u32>, Is<u32>> = Field::new(
    "max_share",
    PERCENT,
    Is(50),
    "The most endpoints that are out at once; in percent, rounded down, so that the only endpoint never is.",
);

/// Reads `ejection`.
pub(super) fn ejection(table: &mut Table<'_>) -> Option<Ejection> {
    let faults = table.take(&FAULTS);
    let min_success = table.take(&MIN_SUCCESS);
    let min_requests = table.take(&MIN_REQUESTS);
    let interval = table.take(&SHARE_INTERVAL);
    let statuses = table.take(&STATUSES);
    let backoff = table.take(&BACKOFF);
    let max_backoff = table.take(&MAX_BACKOFF);
    let max_share = table.take(&MAX_SHARE);
    let are_sound = table.is_sound(BACKOFF.key) && table.is_sound(MAX_BACKOFF.key);
    if are_sound && backoff > max_backoff {
        too_long(table, backoff, max_backoff);
    }
    let statuses = statuses.unwrap_or(StatusRanges(Vec::new()));
    never(table, faults, min_success, max_share);
    by_clients(table, &statuses);
    Some(Ejection {
        faults,
        min_success,
        min_requests,
        interval,
        statuses,
        backoff,
        max_backoff,
        max_share,
    })
}

/// Warns of what changes nothing as no endpoint is ever taken out, or none by its share of results.
fn never(table: &mut Table<'_>, faults: u32, min_success: u32, max_share: u32) {
    let keys = [FAULTS.key, MIN_SUCCESS.key, MAX_SHARE.key];
    if keys.into_iter().any(|key| !table.is_sound(key)) {
        return;
    }
    if faults == 0 && min_success == 0 {
        let keys = [STATUSES.key, BACKOFF.key, MAX_BACKOFF.key, MAX_SHARE.key];
        table.idle(&keys, "with `faults = 0` and without `min_success`");
    } else if max_share == 0 {
        let message = "`ejection.max_share` is 0: no endpoint is ever taken out";
        table.warning(table.span_of(MAX_SHARE.key), message).help(
            "write a share such as 50, or, if none is to be taken out, `ejection = { faults = 0 }`",
        );
    }
    if min_success == 0 {
        let keys = [MIN_REQUESTS.key, SHARE_INTERVAL.key];
        table.idle(&keys, "without `min_success`");
    }
}

/// Warns of statuses that say nothing against the endpoint: clients can bring them about.
fn by_clients(table: &mut Table<'_>, statuses: &StatusRanges) {
    // 408 and 429 are also said by an endpoint that has too much to do.
    let mut others = (200..500).filter(|status| ![408, 429].contains(status));
    if let Some(status) = others.find(|status| statuses.holds(*status)) {
        let message = format!(
            "`ejection.statuses` holds {status}, which is no fault of the endpoint: clients take endpoints out by what they ask for"
        );
        table
            .warning(table.span_of(STATUSES.key), &message)
            .help("write statuses of a broken endpoint, such as `\"500,502-504\"`");
    }
}

fn too_long(table: &mut Table<'_>, backoff: Duration, max_backoff: Duration) {
    let there = if table.has(BACKOFF.key) {
        BACKOFF.key
    } else {
        MAX_BACKOFF.key
    };
    let (first, most) = (duration::print(backoff), duration::print(max_backoff));
    let message = format!("`ejection.backoff` ({first}) is more than `max_backoff` ({most})");
    let help = format!("raise `max_backoff` to `\"{first}\"`, or lower `backoff`");
    table.error(table.span_of(there), &message).help(help);
}
