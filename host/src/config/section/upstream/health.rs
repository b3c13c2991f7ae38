//! `health` of an upstream: how its endpoints are asked whether they are well.

use std::time::Duration;

use http::Method;

use crate::config::field::{
    Choice, Field, Is, Nested, Optional, Parsed, Section, Switch, Time, Whole, Written,
};
use crate::config::model::{CheckTls, HealthCheck, HttpCheck, Probe, StatusRanges, UpstreamTls};
use crate::config::read::Table;
use crate::config::section::tls;
use crate::config::value::{Refused, duration, host, message, name::line};

/// `health = { .. }`.
pub(super) static HEALTH: Section = Section {
    heading: "health = { .. }",
    doc: "Asks each endpoint, once a gateway, whether it is well. Until the first answer an endpoint is used.",
    fields: &[
        &KIND, &PATH, &METHOD, &HOST, &EXPECT, &BODY, &SERVICE, &PORT, &TLS, &INTERVAL, &TIMEOUT,
        &RISE, &FALL,
    ],
    hints: &[
        ("type", "it is called `kind`"),
        ("status", "it is called `expect`"),
        ("statuses", "it is called `expect`"),
        ("uri", "it is called `path`"),
        ("false", "for no checks leave `health` out"),
        ("true", "write what is asked: `{ path = \"/healthz\" }`"),
        ("enabled", "for no checks leave `health` out"),
        ("url", "it is called `path`"),
        (
            "retries",
            "bad answers in a row are `fall`, good ones `rise`",
        ),
        (
            "threshold",
            "bad answers in a row are `fall`, good ones `rise`",
        ),
        ("healthy_threshold", "it is called `rise`"),
        ("success", "it is called `rise`"),
        ("unhealthy_threshold", "it is called `fall`"),
        ("failures", "it is called `fall`"),
        ("max_fails", "it is called `fall`"),
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
        hints: &[
            (
                "https",
                "write `\"http\"`: TLS is spoken where the upstream has `tls`, or the check `tls = true`",
            ),
            (
                "tls",
                "write `\"tcp\"`: TLS is spoken where the upstream has `tls`, or the check `tls = true`",
            ),
        ],
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
        parse: |text, _| host::literal(text),
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
    "A text that the first 64 KiB of a good answer's body contain.",
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

static TLS: Field<Switch<UpstreamTls>, Optional> = Field::new(
    "tls",
    Switch {
        table: Nested {
            section: &tls::UPSTREAM_TLS,
            read: tls::upstream,
        },
        on: UpstreamTls::plain,
    },
    Optional("as with requests: the upstream's `tls`"),
    "Whether the check speaks TLS: `false` for clear text where requests speak TLS, `true` or a table for the other way round.",
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
    strange(table, kind);
    if let Some(expect) = &expect {
        well_though_broken(table, expect);
    }
    let (port, interval, timeout) = (
        table.take(&PORT),
        table.take(&INTERVAL),
        table.take(&TIMEOUT),
    );
    let tls = match table.take(&TLS) {
        None => CheckTls::AsRequests,
        Some(None) => CheckTls::Off,
        Some(Some(tls)) => CheckTls::On(tls),
    };
    let (rise, fall) = (table.take(&RISE), table.take(&FALL));
    in_time(table, timeout, interval);
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
        tls,
        interval,
        timeout,
        rise,
        fall,
    })
}

/// Warns of statuses by which an endpoint says that it is not well.
fn well_though_broken(table: &mut Table<'_>, expect: &StatusRanges) {
    if let Some(status) = [500, 502, 503]
        .into_iter()
        .find(|status| expect.holds(*status))
    {
        let message = format!(
            "`health.expect` holds {status}: an endpoint that says that it is broken is taken for healthy"
        );
        table
            .warning(table.span_of(EXPECT.key), &message)
            .help("write the statuses of an endpoint that is well, such as `\"200-299\"`");
    }
}

/// Warns of a wait for one answer that is no shorter than the time between two questions.
fn in_time(table: &mut Table<'_>, timeout: Duration, interval: Duration) {
    let are_sound = table.is_sound(TIMEOUT.key) && table.is_sound(INTERVAL.key);
    if timeout < interval || !are_sound || table.is_incomplete() {
        return;
    }
    let key = if table.has(INTERVAL.key) {
        INTERVAL.key
    } else {
        TIMEOUT.key
    };
    let (timeout, interval) = (duration::print(timeout), duration::print(interval));
    let message = format!(
        "`health.timeout` ({timeout}) is not below `interval` ({interval}): an endpoint that hangs is asked less than half as often as it should be, and found out late"
    );
    table.warning(table.span_of(key), &message).help(format!(
        "make `timeout` shorter than `\"{interval}\"`, or `interval` longer"
    ));
}

/// Reports the keys of other kinds than this.
fn strange(table: &mut Table<'_>, kind: Kind) {
    // One that was refused is not known: nothing is strange to it.
    if !table.is_sound(KIND.key) {
        return;
    }
    let http = [PATH.key, METHOD.key, HOST.key, EXPECT.key, BODY.key];
    let keys = http.map(|key| (key, Kind::Http, "http"));
    for (key, of, word) in keys.into_iter().chain([(SERVICE.key, Kind::Grpc, "grpc")]) {
        if kind != of && table.has(key) {
            let message = format!("`health.{key}` is for `kind = \"{word}\"` only");
            let help = format!("remove it, or write `kind = \"{word}\"`");
            table.error(table.span_of(key), &message).help(help);
        }
    }
}

/// A request target in origin form.
fn target(text: &str) -> Result<String, Refused> {
    let good =
        |text: &str| text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
    if good(text) {
        return Ok(text.to_owned());
    }
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => text,
    };
    let path = format!("/{path}");
    Err(match good(&path) {
        true => Refused::plain().write(&path),
        false => Refused::plain(),
    })
}
