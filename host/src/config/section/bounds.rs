//! `limits`, `recycle` and `breaker` of a filter.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::MAX_DOCUMENT;
use crate::config::field::{Field, Is, Optional, Section, Size, Time, Whole};
use crate::config::model::{Breaker, FilterLimits, Recycle};
use crate::config::read::Table;
use crate::config::value::{duration, size};

/// `limits = { .. }`.
pub(super) static LIMITS: Section = Section {
    heading: "limits = { .. }",
    doc: "How much a filter may use; beyond it the call fails.",
    fields: &[&CPU, &START_CPU, &WAIT, &MEMORY, &BODY, &DOCUMENT],
    hints: &[],
    short: None,
    private: false,
};

static CPU: Field<Time, Optional> = Field::new(
    "cpu",
    Time {
        least: Duration::from_millis(1),
        most: Duration::from_secs(60),
    },
    Optional("`\"10ms\"`; `\"1s\"` for `builtin:sdk-metadata`"),
    "The processor time of one call. A call for a gathered body may use as much again for each 64 KiB of it. If a call may use more than 10 ms, the worker goes on with other requests meanwhile.",
);

static START_CPU: Field<Time, Is<Duration>> = Field::new(
    "start_cpu",
    Time {
        least: Duration::from_millis(1),
        most: Duration::from_secs(60),
    },
    Is(Duration::from_secs(1)),
    "The processor time of starting an instance and giving it its settings.",
);

static WAIT: Field<Time, Is<Duration>> = Field::new(
    "wait",
    Time {
        least: Duration::from_millis(1),
        most: Duration::from_secs(60),
    },
    Is(Duration::from_secs(10)),
    "How long a request waits for an instance while all are at work or being made; beyond it 503 `filter_busy`.",
);

static MEMORY: Field<Size<u64>, Is<u64>> = Field::new(
    "memory",
    Size {
        least: 64 << 10,
        most: 1 << 32,
        of: Some,
    },
    Is(64 << 20),
    "The linear memory of one instance; at most `max_memory` of `[wasm]`.",
);

static BODY: Field<Size<u64>, Is<u64>> = Field::new(
    "body",
    Size {
        least: 0,
        most: 1 << 30,
        of: Some,
    },
    Is(1 << 20),
    "The most of a body that `whole` or `more` may gather; beyond it 413 or 502.",
);

static DOCUMENT: Field<Size<u64>, Is<u64>> = Field::new(
    "document",
    Size {
        least: 1,
        most: MAX_DOCUMENT,
        of: Some,
    },
    Is(4 << 20),
    "The largest file that `documents` may name.",
);

/// Reads `limits`.
pub(super) fn limits(table: &mut Table<'_>) -> Option<FilterLimits> {
    let limits = FilterLimits {
        cpu: table.take(&CPU),
        start_cpu: table.take(&START_CPU),
        wait: table.take(&WAIT),
        memory: table.take(&MEMORY),
        body: table.take(&BODY),
        document: table.take(&DOCUMENT),
    };
    let most = table.reader().max_memory;
    if limits.memory > most && table.is_sound(MEMORY.key) {
        let span = table.span_of(MEMORY.key);
        let (asked, most) = (size::print(limits.memory), size::print(most));
        let message =
            format!("`limits.memory` is {asked}, more than `max_memory` of `[wasm]` ({most})");
        table.error(span, &message).help(format!(
            "set `limits = {{ memory = \"{most}\" }}`, or raise `max_memory`"
        ));
    }
    if limits.body >= limits.memory && table.is_sound(BODY.key) && table.is_sound(MEMORY.key) {
        let key = if table.has(BODY.key) {
            BODY.key
        } else {
            MEMORY.key
        };
        let (body, memory) = (size::print(limits.body), size::print(limits.memory));
        let message = format!(
            "`limits.body` ({body}) is not below `memory` ({memory}), in which a gathered body must have room: the filter fails before"
        );
        table
            .warning(table.span_of(key), &message)
            .help("lower `body`, or raise `memory` to several times as much");
    }
    Some(limits)
}

/// `recycle = { .. }`.
pub(super) static RECYCLE: Section = Section {
    heading: "recycle = { .. }",
    doc: "When an instance is given up for a new one, whichever comes first.",
    fields: &[&CALLS, &AGE, &GROWTH],
    hints: &[],
    short: None,
    private: false,
};

static CALLS: Field<Whole<NonZeroU32>, Is<NonZeroU32>> = Field::new(
    "calls",
    Whole {
        least: 1,
        most: 1_000_000_000,
        of: |number| NonZeroU32::new(u32::try_from(number).ok()?),
    },
    Is(NonZeroU32::MIN.saturating_add(9_999)),
    "After this many calls, by chance up to a fifth more or less.",
);

static AGE: Field<Time, Is<Duration>> = Field::new(
    "age",
    Time {
        least: Duration::from_secs(1),
        most: Duration::from_hours(720),
    },
    Is(Duration::from_mins(10)),
    "After this time.",
);

static GROWTH: Field<Size<u64>, Is<u64>> = Field::new(
    "growth",
    Size {
        least: 64 << 10,
        most: 1 << 32,
        of: Some,
    },
    Is(32 << 20),
    "When its memory has grown by this since it got its settings.",
);

/// Reads `recycle`.
pub(super) fn recycle(table: &mut Table<'_>) -> Option<Recycle> {
    Some(Recycle {
        calls: table.take(&CALLS),
        age: table.take(&AGE),
        growth: table.take(&GROWTH),
    })
}

/// `breaker = { .. }`.
pub(super) static BREAKER: Section = Section {
    heading: "breaker = { .. }",
    doc: "When a filter that keeps failing is not called any more for a while; `on_error` says what happens then.",
    fields: &[&FAILURES, &WINDOW, &BACKOFF, &MAX_BACKOFF],
    hints: &[],
    short: None,
    private: false,
};

static FAILURES: Field<Whole<NonZeroU32>, Is<NonZeroU32>> = Field::new(
    "failures",
    Whole {
        least: 1,
        most: 1_000_000,
        of: |number| NonZeroU32::new(u32::try_from(number).ok()?),
    },
    Is(NonZeroU32::MIN.saturating_add(4)),
    "After this many failures, in a row or within `window`.",
);

static WINDOW: Field<Time, Is<Duration>> = Field::new(
    "window",
    Time::USUAL,
    Is(Duration::from_secs(10)),
    "The time within which failures are counted.",
);

static BACKOFF: Field<Time, Is<Duration>> = Field::new(
    "backoff",
    Time::USUAL,
    Is(Duration::from_secs(1)),
    "How long it is not called the first time; doubles with each failure after that.",
);

static MAX_BACKOFF: Field<Time, Is<Duration>> = Field::new(
    "max_backoff",
    Time::USUAL,
    Is(Duration::from_secs(60)),
    "The longest that it is not called; at least `backoff`.",
);

/// Reads `breaker`.
pub(super) fn breaker(table: &mut Table<'_>) -> Option<Breaker> {
    let breaker = Breaker {
        failures: table.take(&FAILURES),
        window: table.take(&WINDOW),
        backoff: table.take(&BACKOFF),
        max_backoff: table.take(&MAX_BACKOFF),
    };
    let are_sound = table.is_sound(BACKOFF.key) && table.is_sound(MAX_BACKOFF.key);
    if are_sound && breaker.backoff > breaker.max_backoff {
        let there = if table.has(BACKOFF.key) {
            BACKOFF.key
        } else {
            MAX_BACKOFF.key
        };
        let span = table.span_of(there);
        let (first, most) = (
            duration::print(breaker.backoff),
            duration::print(breaker.max_backoff),
        );
        let message = format!("`breaker.backoff` ({first}) is more than `max_backoff` ({most})");
        table.error(span, &message);
    }
    Some(breaker)
}
