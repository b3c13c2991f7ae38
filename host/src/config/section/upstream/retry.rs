//! `retries` and `limits` of an upstream.

use std::time::Duration;

use crate::config::field::{
    Choice, Empty, Field, Is, List, Optional, Parsed, Section, Size, Time, Whole,
};
use crate::config::model::{EndpointLimits, Retries, RetryOn, StatusRanges};
use crate::config::read::Table;
use crate::config::value::duration;

/// `retries = { .. }`.
pub(super) static RETRIES: Section = Section {
    heading: "retries = { .. }",
    doc: "When a request is tried once more: at once on another endpoint, or, where there is none, after 12 to 250 ms on the same one over another connection. Only if nothing of it was sent, or its method is idempotent (RFC 9110 section 9.2.2) and its whole body was kept.",
    fields: &[
        &ATTEMPTS,
        &ON,
        &STATUSES,
        &TRY_TIMEOUT,
        &MAX_BODY,
        &BUDGET,
        &BUDGET_RATE,
    ],
    hints: &[
        ("max", "it is called `attempts`, the first one included"),
        ("false", "for no retries write `{ attempts = 1 }`"),
        ("true", "they are on where this is left out"),
        ("enabled", "for no retries write `attempts = 1`"),
        (
            "max_retries",
            "it is called `attempts`, the first one included",
        ),
        ("timeout", "it is called `try_timeout`"),
        (
            "backoff",
            "it is no setting: another endpoint is asked at once, the same one after 12 to 250 ms",
        ),
        (
            "delay",
            "it is no setting: another endpoint is asked at once, the same one after 12 to 250 ms",
        ),
        (
            "methods",
            "only what is idempotent is sent again (RFC 9110 section 9.2.2)",
        ),
        ("codes", "it is called `statuses`"),
        ("count", "it is called `attempts`, the first one included"),
    ],
    short: Some("attempts"),
    private: false,
};

static ATTEMPTS: Field<Whole<u32>, Is<u32>> = Field::new(
    "attempts",
    Whole {
        least: 1,
        most: 10,
        of: |number| u32::try_from(number).ok(),
    },
    Is(2),
    "The most attempts, the first one included, each on another endpoint while there is one that was not tried; 1: no retry. A request whose unused connection was closed meanwhile, or that the endpoint turned away unread, goes to the same endpoint on another connection and is not counted.",
);

/// What other gateways call the reasons, and statuses, which have a key of their own.
const ON_HINTS: &[(&str, &str)] = &[
    (
        "5xx",
        "statuses have a key of their own: `statuses = \"500-599\"`",
    ),
    (
        "status",
        "statuses have a key of their own: `statuses = \"502-504\"`",
    ),
    (
        "gateway-error",
        "statuses have a key of their own: `statuses = \"502-504\"`",
    ),
    (
        "502",
        "statuses have a key of their own: `statuses = \"502\"`",
    ),
    (
        "503",
        "statuses have a key of their own: `statuses = \"503\"`",
    ),
    (
        "504",
        "statuses have a key of their own: `statuses = \"504\"`",
    ),
    ("connect-failure", "did you mean `\"connect\"`?"),
    ("error", "write `[\"connect\", \"reset\"]`"),
];

static ON: Field<List<Choice<RetryOn>>, Empty> = Field::new(
    "on",
    List {
        of: Choice {
            options: &[
                ("connect", RetryOn::Connect),
                ("reset", RetryOn::Reset),
                ("timeout", RetryOn::Timeout),
            ],
            hints: ON_HINTS,
        },
        least: 0,
        repeats: false,
    },
    Empty("`[\"connect\", \"reset\"]`"),
    "After which faults: no connection, an end of the connection before the response's first byte, no response in time.",
);

static STATUSES: Field<Parsed<StatusRanges>, Optional> = Field::new(
    "statuses",
    super::STATUSES,
    Optional("none"),
    "After which responses; the last attempt's goes to the client whatever it is.",
);

static TRY_TIMEOUT: Field<Time, Optional> = Field::new(
    "try_timeout",
    Time::USUAL,
    Optional("`first_byte_timeout`, which is that of all attempts together"),
    "From the end of the request to the head of the response, for an attempt that another follows: not the last one, nor a request that cannot be sent again, nor one that no endpoint or the budget has room for. The only endpoint of an upstream is tried again.",
);

static MAX_BODY: Field<Size<usize>, Is<usize>> = Field::new(
    "max_body",
    Size {
        least: 0,
        most: 64 << 20,
        of: |bytes| usize::try_from(bytes).ok(),
    },
    Is(64 << 10),
    "The largest request body that is kept to be sent again.",
);

static BUDGET: Field<Whole<u32>, Is<u32>> = Field::new(
    "budget",
    Whole {
        least: 0,
        most: 1000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(20),
    "Retries for each hundred requests, of each worker; attempts that sent nothing are free.",
);

static BUDGET_RATE: Field<Whole<u32>, Is<u32>> = Field::new(
    "budget_rate",
    Whole {
        least: 0,
        most: 1_000_000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(10),
    "Retries a second beside `budget`, of all workers together.",
);

/// Reads `retries`.
pub(super) fn retries(table: &mut Table<'_>) -> Option<Retries> {
    let on = table.take(&ON);
    let retries = Retries {
        attempts: table.take(&ATTEMPTS),
        on: match table.has(ON.key) {
            true => on,
            false => vec![RetryOn::Connect, RetryOn::Reset],
        },
        statuses: table.take(&STATUSES).unwrap_or(StatusRanges(Vec::new())),
        try_timeout: table.take(&TRY_TIMEOUT),
        max_body: table.take(&MAX_BODY),
        budget: table.take(&BUDGET),
        budget_rate: table.take(&BUDGET_RATE),
    };
    if let Some(status) = (200..400).find(|status| retries.statuses.holds(*status)) {
        let message = format!(
            "`retries.statuses` holds {status}, which is no failure: what went well is asked for again"
        );
        table
            .warning(table.span_of(STATUSES.key), &message)
            .help("write statuses of an endpoint that cannot answer, such as `\"502-504\"`");
    }
    if retries.attempts == 1 {
        let keys = [ON.key, STATUSES.key, TRY_TIMEOUT.key];
        table.idle(&keys, "with `attempts = 1`");
    }
    Some(retries)
}

/// Warns of attempts that are given more time than all of them have together.
pub(super) fn in_time(
    table: &mut Table<'_>,
    retries: &Retries,
    first_byte: (&'static str, Duration),
    total: (&'static str, Option<Duration>),
) {
    let on_timeout = retries.on.contains(&RetryOn::Timeout);
    let Some(longest) = retries.try_timeout else {
        let is_there = table.has_part(super::RETRIES.key, TRY_TIMEOUT.key);
        if on_timeout && !is_there && retries.attempts > 1 && !table.is_incomplete() {
            let message =
                "`retries.on` holds `timeout`, which changes nothing without `try_timeout`";
            table.warning(table.span_of_part(super::RETRIES.key, ON.key), message).help(
                "`first_byte_timeout` is for all attempts together: give one of them less, such as `try_timeout = \"5s\"`",
            );
        }
        return;
    };
    let bounds = [(first_byte.0, Some(first_byte.1)), total];
    let known = bounds.into_iter().filter(|(key, _)| table.is_sound(key));
    let least = known.filter_map(|(key, time)| Some((time?, key))).min();
    if let Some((bound, key)) = least.filter(|(bound, _)| longest >= *bound)
        && retries.attempts > 1
    {
        let (longest, bound) = (duration::print(longest), duration::print(bound));
        let message = format!(
            "`retries.try_timeout` ({longest}) changes nothing: all attempts together have no more than `{key}` ({bound})"
        );
        let help =
            format!("make it shorter than `\"{bound}\"`, so that time is left for another attempt");
        table
            .warning(
                table.span_of_part(super::RETRIES.key, TRY_TIMEOUT.key),
                &message,
            )
            .help(help);
    }
}

/// `limits = { .. }`.
pub(super) static LIMITS: Section = Section {
    heading: "limits = { .. }",
    doc: "How much each endpoint is given at once, by all workers together. When none takes more, requests wait in a queue; beyond it, or too long, 503 with `Retry-After`.",
    fields: &[&MAX_ACTIVE, &MAX_CONNECTIONS, &QUEUE, &QUEUE_TIMEOUT],
    hints: &[
        ("false", "for no limits leave it out"),
        ("max_requests", "it is called `max_active`"),
        ("max_concurrent", "it is called `max_active`"),
        ("max_pending", "it is called `queue`"),
        ("max_queue", "it is called `queue`"),
        ("timeout", "it is called `queue_timeout`"),
    ],
    short: Some("max_active"),
    private: false,
};

const COUNT: Whole<u32> = Whole {
    least: 1,
    most: 1_000_000,
    of: |number| u32::try_from(number).ok(),
};

pub(super) static MAX_ACTIVE: Field<Whole<u32>, Optional> = Field::new(
    "max_active",
    COUNT,
    Optional("no limit"),
    "The most active requests on one endpoint.",
);

static MAX_CONNECTIONS: Field<Whole<u32>, Optional> = Field::new(
    "max_connections",
    COUNT,
    Optional("no limit"),
    "The most connections to one endpoint, unused ones included.",
);

static QUEUE: Field<Whole<usize>, Is<usize>> = Field::new(
    "queue",
    Whole {
        least: 0,
        most: 100_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(128),
    "The most requests of one upstream that wait; 0: none waits.",
);

pub(super) static QUEUE_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "queue_timeout",
    Time {
        least: Duration::from_millis(1),
        most: Duration::from_mins(5),
    },
    Is(Duration::from_secs(1)),
    "How long one of them waits.",
);

/// Reads `limits`.
pub(super) fn limits(table: &mut Table<'_>) -> Option<EndpointLimits> {
    let limits = EndpointLimits {
        max_active: table.take(&MAX_ACTIVE),
        max_connections: table.take(&MAX_CONNECTIONS),
        queue: table.take(&QUEUE),
        queue_timeout: table.take(&QUEUE_TIMEOUT),
    };
    if !table.has(MAX_ACTIVE.key) && !table.has(MAX_CONNECTIONS.key) {
        let why = "without `max_active` or `max_connections`";
        table.idle(&[QUEUE.key, QUEUE_TIMEOUT.key], why);
    }
    Some(limits)
}
