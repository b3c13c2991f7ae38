//! `health` and `ejection` of an upstream: which of its endpoints are available.

use std::time::Duration;

use http::Method;

use crate::config::field::{Choice, Field, Is, Optional, Parsed, Section, Time, Whole, Written};
use crate::config::model::{Ejection, HealthCheck, HttpCheck, Probe, StatusRanges};
use crate::config::read::Table;
use crate::config::value::{Refused, address, duration, message, name::line};

/// `health = { .. }`.
pub(super) static HEALTH: Section = Section {
    heading: "health = { .. }",
    doc: "Asks each endpoint, once a gateway, whether it is well. Until the first answer an endpoint is used.",
    fields: &[
        &KIND, &PATH, &METHOD, &HOST, &EXPECT, &BODY, &SERVICE, &PORT, &INTERVAL, &TIMEOUT, &RISE,
        &FALL,
    ],
    hints: &[
        ("type", "it is called `kind`"),
        ("status", "it is called `expect`"),
        ("statuses", "it is called `expect`"),
        ("uri", "it is called `path`"),
    ],
    short: Some("path"),
    private: false,
};

/// The kinds of probes, as words.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Http,
    Tcp,
    Grpc,
}

static KIND: Field<Choice<Kind>, Is<Kind>> = Field::new(
    "kind",
    Choice {
        options: &[
            ("http", Kind::Http),
            ("tcp", Kind::Tcp),
            ("grpc", Kind::Grpc),
        ],
        hints: &[],
    },
    Is(Kind::Http),
    "How it is asked: by an HTTP request, by a connection, or by the gRPC health protocol (`grpc.health.v1`).",
);

static PATH: Field<Parsed<String>, Written> = Field::new(
    "path",
    Parsed {
        words: "a path such as `\"/healthz\"`",
        pattern: "^/",
        private: false,
        parse: |text, _| target(text),
    },
    Written("/"),
    "The path of the HTTP request, with its query.",
);

static METHOD: Field<Parsed<Method>, Written> = Field::new(
    "method",
    Parsed {
        words: "a method such as `\"GET\"`",
        pattern: "^[A-Z]+$",
        private: false,
        parse: |text, _| message::method(text)?.ok_or_else(Refused::plain),
    },
    Written("GET"),
    "The method of the HTTP request.",
);

static HOST: Field<Parsed<String>, Optional> = Field::new(
    "host",
    Parsed {
        words: "a name, with or without a port",
        pattern: "",
        private: false,
        parse: |text, _| {
            let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
            match address::is_host(name) {
                true => Ok(text.to_owned()),
                false => Err(Refused::plain()),
            }
        },
    },
    Optional("the endpoint's address"),
    "The `host` field of the HTTP request.",
);

static EXPECT: Field<Parsed<StatusRanges>, Written> = Field::new(
    "expect",
    super::STATUSES,
    Written("200-399"),
    "The statuses of a good answer.",
);

static BODY: Field<Parsed<String>, Optional> = Field::new(
    "body",
    Parsed {
        words: "a text of one line",
        pattern: "",
        private: false,
        parse: |text, _| line(text),
    },
    Optional("any body"),
    "What the first 64 KiB of a good answer's body contain.",
);

static SERVICE: Field<Parsed<String>, Optional> = Field::new(
    "service",
    Parsed {
        words: "the name of a gRPC service",
        pattern: "",
        private: false,
        parse: |text, _| line(text),
    },
    Optional("the whole server"),
    "The service that the gRPC health protocol is asked for.",
);

static PORT: Field<Whole<u16>, Optional> = Field::new(
    "port",
    Whole {
        least: 1,
        most: 65_535,
        of: |number| u16::try_from(number).ok(),
    },
    Optional("that of the endpoint"),
    "The port that is asked.",
);

static INTERVAL: Field<Time, Is<Duration>> = Field::new(
    "interval",
    Time {
        least: Duration::from_millis(50),
        most: Duration::from_hours(1),
    },
    Is(Duration::from_secs(5)),
    "Between two questions, by chance up to a tenth more or less.",
);

static TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "timeout",
    Time {
        least: Duration::from_millis(10),
        most: Duration::from_mins(5),
    },
    Is(Duration::from_secs(2)),
    "For one answer, its connection included.",
);

const COUNT: Whole<u32> = Whole {
    least: 1,
    most: 100,
    of: |number| u32::try_from(number).ok(),
};

static RISE: Field<Whole<u32>, Is<u32>> = Field::new(
    "rise",
    COUNT,
    Is(2),
    "So many good answers in a row make an endpoint healthy.",
);

static FALL: Field<Whole<u32>, Is<u32>> = Field::new(
    "fall",
    COUNT,
    Is(3),
    "So many bad answers in a row make it unhealthy; the very first answer decides alone.",
);

/// Reads `health`.
pub(super) fn health(table: &mut Table<'_>) -> Option<HealthCheck> {
    let kind = table.take(&KIND);
    let path = table.take(&PATH);
    let method = table.take(&METHOD);
    let host = table.take(&HOST);
    let expect = table.take(&EXPECT);
    let body = table.take(&BODY);
    let service = table.take(&SERVICE);
    let http = [PATH.key, METHOD.key, HOST.key, EXPECT.key, BODY.key];
    let strange: &[&str] = match kind {
        Kind::Http => &[SERVICE.key],
        Kind::Tcp => &[http[0], http[1], http[2], http[3], http[4], SERVICE.key],
        Kind::Grpc => &http,
    };
    for key in strange {
        // A kind that was refused is not known: nothing is strange to it.
        if table.has(key) && table.is_sound(KIND.key) {
            let span = table.span_of(key);
            let message = format!("`health.{key}` does not belong to this `kind`");
            table
                .error(span, &message)
                .help("remove it, or change `kind`");
        }
    }
    let (port, interval, timeout) = (
        table.take(&PORT),
        table.take(&INTERVAL),
        table.take(&TIMEOUT),
    );
    let (rise, fall) = (table.take(&RISE), table.take(&FALL));
    Some(HealthCheck {
        probe: match kind {
            Kind::Tcp => Probe::Tcp,
            Kind::Grpc => Probe::Grpc(service.unwrap_or_default()),
            Kind::Http => Probe::Http(HttpCheck {
                method: method?,
                path: path?,
                host,
                expect: expect?,
                body,
            }),
        },
        port,
        interval,
        timeout,
        rise,
        fall,
    })
}

/// A request target in origin form.
fn target(text: &str) -> Result<String, Refused> {
    let target = text.parse::<http::uri::PathAndQuery>().ok();
    match target.filter(|_| text.starts_with('/')) {
        Some(_) => Ok(text.to_owned()),
        None => Err(Refused::plain()),
    }
}

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
    hints: &[],
    short: None,
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

static STATUSES: Field<Parsed<StatusRanges>, Written> = Field::new(
    "statuses",
    super::STATUSES,
    Written("502-504"),
    "The statuses that are faults of the endpoint.",
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

static MAX_SHARE: Field<Whole<u32>, Is<u32>> = Field::new(
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
    Some(Ejection {
        faults,
        min_success,
        min_requests,
        interval,
        statuses: statuses?,
        backoff,
        max_backoff,
        max_share,
    })
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
