//! `[upstream.<name>]`: a named group of endpoints.

mod balance;
mod ejection;
mod endpoint;
mod group;
mod health;
mod pairs;
mod retry;
mod sticky;

use std::time::Duration;

use super::tls;
use crate::config::field::{
    Choice, Defaults, Field, Is, Nested, Optional, Parsed, Section, Size, Time, Wait, Whole,
    Written,
};
use crate::config::model::{
    Ejection, EndpointLimits, HealthCheck, HostRule, Retries, StatusRanges, UpstreamConfig,
    UpstreamProtocol,
};
use crate::config::read::Table;
use crate::config::value::balance::statuses;
use crate::config::value::host;

pub(super) use balance::HASH_KEY;

/// Statuses and ranges of them.
const STATUSES: Parsed<StatusRanges> = Parsed {
    words: "statuses such as `\"200-299,404\"`",
    pattern: "^[0-9, -]+$",
    private: false,
    parse: |text, _| statuses(text),
};

/// `[upstream.<name>]`.
pub(super) static UPSTREAM: Section = Section {
    heading: "[upstream.<name>]",
    doc: "A named group of endpoints. The name is the attribute `upstream.name`.",
    fields: &[
        &endpoint::ENDPOINTS,
        &balance::BALANCE,
        &balance::HASH_ON,
        &balance::HASH_BOUND,
        &balance::SLOW_START,
        &balance::FAIL_OPEN,
        &balance::FAILOVER,
        &balance::PREFER,
        &balance::STICKY,
        &HEALTH,
        &EJECTION,
        &RETRIES,
        &LIMITS,
        &CONNECT_TIMEOUT,
        &FIRST_BYTE_TIMEOUT,
        &IDLE_TIMEOUT,
        &TOTAL_TIMEOUT,
        &DRAIN_TIMEOUT,
        &KEEP_ALIVE_TIMEOUT,
        &MAX_IDLE,
        &MAX_HEAD,
        &MAX_HEADERS,
        &HOST,
        &tls::UPSTREAM,
        &PROTOCOL,
    ],
    hints: &[
        (
            "address",
            "endpoints are a list: `endpoints = [{ address = \"10.0.0.1:8080\" }]`",
        ),
        (
            "url",
            "endpoints are a list: `endpoints = [{ address = \"10.0.0.1:8080\" }]`",
        ),
        ("servers", "they are called `endpoints`"),
        (
            "timeout",
            "the time-outs are `connect_timeout`, `first_byte_timeout`, `idle_timeout` and `total_timeout`",
        ),
        (
            "timeouts",
            "the time-outs are `connect_timeout`, `first_byte_timeout`, `idle_timeout` and `total_timeout`",
        ),
        ("request_timeout", "it is called `total_timeout`"),
        (
            "read_timeout",
            "it is called `first_byte_timeout`; between two pieces of a body it is `idle_timeout`",
        ),
        ("response_timeout", "it is called `first_byte_timeout`"),
        ("send_timeout", "it is called `idle_timeout`"),
        ("write_timeout", "it is called `idle_timeout`"),
        (
            "max_active",
            "it stands in `limits`: `limits = { max_active = 100 }`",
        ),
        (
            "max_requests",
            "it stands in `limits`: `limits = { max_active = 100 }`",
        ),
        (
            "max_connections",
            "it stands in `limits`: `limits = { max_connections = 100 }`",
        ),
        (
            "queue",
            "it stands in `limits`: `limits = { max_active = 100 }`",
        ),
        (
            "attempts",
            "it stands in `retries`: `retries = { attempts = 3 }`",
        ),
        (
            "max_retries",
            "it stands in `retries`: `retries = { attempts = 3 }`, the first one included",
        ),
        (
            "health_check",
            "it is called `health`: `health = { path = \"/healthz\" }`",
        ),
        (
            "healthcheck",
            "it is called `health`: `health = { path = \"/healthz\" }`",
        ),
        (
            "check",
            "it is called `health`: `health = { path = \"/healthz\" }`",
        ),
        ("outlier_detection", "it is called `ejection`"),
        ("passive_health", "it is called `ejection`"),
        (
            "circuit_breaker",
            "`ejection` takes endpoints out by their faults, `limits` bounds what they get at once",
        ),
        ("policy", "it is called `balance`"),
        ("lb_policy", "it is called `balance`"),
        ("load_balancing", "it is called `balance`"),
        ("algorithm", "it is called `balance`"),
        ("session", "it is called `sticky`"),
        ("affinity", "it is called `sticky`"),
        (
            "labels",
            "each endpoint has its own: `{ address = \"10.0.0.1:8080\", labels = { zone = \"a\" } }`",
        ),
        (
            "priority",
            "each endpoint has its own: `{ address = \"10.0.0.1:8080\", priority = 1 }`",
        ),
        ("http2", "write `protocol = \"http2\"`"),
        ("scheme", "for TLS write `tls = true`"),
        ("targets", "they are called `endpoints`"),
        (
            "weight",
            "each endpoint has its own: `{ address = \"10.0.0.1:8080\", weight = 3 }`",
        ),
    ],
    short: None,
    private: false,
};

static HEALTH: Field<Nested<HealthCheck>, Optional> = Field::new(
    "health",
    Nested {
        section: &health::HEALTH,
        read: health::health,
    },
    Optional("endpoints are not asked"),
    "Asks each endpoint whether it is well.",
);

static EJECTION: Field<Nested<Ejection>, Defaults> = Field::new(
    "ejection",
    Nested {
        section: &ejection::EJECTION,
        read: ejection::ejection,
    },
    Defaults,
    "Takes endpoints out by the results of requests.",
);

static RETRIES: Field<Nested<Retries>, Defaults> = Field::new(
    "retries",
    Nested {
        section: &retry::RETRIES,
        read: retry::retries,
    },
    Defaults,
    "When a request is tried once more.",
);

static LIMITS: Field<Nested<EndpointLimits>, Defaults> = Field::new(
    "limits",
    Nested {
        section: &retry::LIMITS,
        read: retry::limits,
    },
    Defaults,
    "How much an endpoint is given at once.",
);

static CONNECT_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "connect_timeout",
    Time::USUAL,
    Is(Duration::from_secs(2)),
    "For a new connection, its TLS handshake included; then 504.",
);

static FIRST_BYTE_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "first_byte_timeout",
    Time::USUAL,
    Is(Duration::from_secs(30)),
    "From the end of the request to the head of the response; then 504.",
);

static IDLE_TIMEOUT: Field<Wait, Is<Option<Duration>>> = Field::new(
    "idle_timeout",
    Wait(Time::USUAL),
    Is(Some(Duration::from_secs(60))),
    "Between two pieces of a body, or of what passes after an upgrade; then the exchange is cut.",
);

static TOTAL_TIMEOUT: Field<Wait, Is<Option<Duration>>> = Field::new(
    "total_timeout",
    Wait(Time::USUAL),
    Is(None),
    "From when a request comes to the upstream, a wait for room included, to the end of the response; then 504, or the response is cut.",
);

static DRAIN_TIMEOUT: Field<Wait, Is<Option<Duration>>> = Field::new(
    "drain_timeout",
    Wait(Time {
        least: Duration::ZERO,
        ..Time::USUAL
    }),
    Is(Some(Duration::from_mins(5))),
    "How long what runs on an endpoint that is drained or removed may go on, streams too; then it is cut.",
);

static KEEP_ALIVE_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "keep_alive_timeout",
    Time::USUAL,
    Is(Duration::from_secs(60)),
    "How long an unused connection is kept; less than the endpoints keep theirs.",
);

static MAX_IDLE: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_idle",
    Whole {
        least: 0,
        most: 100_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(128),
    "The most unused connections that a worker keeps for each endpoint.",
);

static MAX_HEAD: Field<Size<usize>, Is<usize>> = Field::new(
    "max_head",
    Size {
        least: 1 << 10,
        most: 1 << 20,
        of: |bytes| usize::try_from(bytes).ok(),
    },
    Is(64 << 10),
    "The largest response head; beyond it 502.",
);

static MAX_HEADERS: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_headers",
    Whole {
        least: 1,
        most: 10_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(1000),
    "The most fields of a response head; beyond it 502.",
);

static HOST: Field<Parsed<HostRule>, Written> = Field::new(
    "host",
    Parsed {
        words: "`\"preserve\"`, `\"endpoint\"` or a name",
        pattern: "",
        private: false,
        parse: |text, _| host::rule(text),
    },
    Written("preserve"),
    "The `host` that goes upstream: the one that the client sent, the endpoint's address, or this name.",
);

/// Other names of what is spoken, and what else people look for here.
const PROTOCOL_HINTS: &[(&str, &str)] = &[
    ("h1", "did you mean `\"http1\"`?"),
    ("h2", "did you mean `\"http2\"`?"),
    (
        "h2c",
        "did you mean `\"http2\"`? On clear text it is HTTP/2 with prior knowledge",
    ),
    ("grpc", "gRPC goes over HTTP/2: write `\"http2\"`"),
    (
        "https",
        "for TLS write `tls = true`; `protocol` may then be left out",
    ),
    (
        "tls",
        "for TLS write `tls = true`; `protocol` may then be left out",
    ),
    (
        "h3",
        "HTTP/3 is not spoken with endpoints: write `\"http2\"`",
    ),
    (
        "http3",
        "HTTP/3 is not spoken with endpoints: write `\"http2\"`",
    ),
    (
        "http/3",
        "HTTP/3 is not spoken with endpoints: write `\"http2\"`",
    ),
];

static PROTOCOL: Field<Choice<UpstreamProtocol>, Is<UpstreamProtocol>> = Field::new(
    "protocol",
    Choice {
        options: &[
            ("auto", UpstreamProtocol::Auto),
            ("http1", UpstreamProtocol::Http1),
            ("http2", UpstreamProtocol::Http2),
        ],
        hints: PROTOCOL_HINTS,
    },
    Is(UpstreamProtocol::Auto),
    "The protocol with the endpoints; `auto` is HTTP/1.1 on clear text, and with TLS HTTP/2 where the endpoint can.",
);

/// Reads one `[upstream.<name>]`.
pub(super) fn upstream(table: &mut Table<'_>) -> Option<UpstreamConfig> {
    let endpoints = table.take(&endpoint::ENDPOINTS);
    let balance = balance::balance(table);
    let health = table.take(&HEALTH);
    let ejection = table.take(&EJECTION);
    let retries = table.take(&RETRIES);
    let limits = table.take(&LIMITS);
    let connect_timeout = table.take(&CONNECT_TIMEOUT);
    let first_byte_timeout = table.take(&FIRST_BYTE_TIMEOUT);
    let idle_timeout = table.take(&IDLE_TIMEOUT);
    let total_timeout = table.take(&TOTAL_TIMEOUT);
    let drain_timeout = table.take(&DRAIN_TIMEOUT);
    let keep_alive_timeout = table.take(&KEEP_ALIVE_TIMEOUT);
    let max_idle = table.take(&MAX_IDLE);
    let max_head = table.take(&MAX_HEAD);
    let max_headers = table.take(&MAX_HEADERS);
    let host = table.take(&HOST);
    let tls = table.take(&tls::UPSTREAM).flatten();
    let protocol = table.take(&PROTOCOL);
    if let Some(retries) = &retries {
        retry::in_time(
            table,
            retries,
            (FIRST_BYTE_TIMEOUT.key, first_byte_timeout),
            (TOTAL_TIMEOUT.key, total_timeout),
        );
    }
    let endpoints = endpoints?;
    endpoint::weighed(table, &endpoints);
    if let Some(balance) = &balance {
        group::check(table, &endpoints, balance);
    }
    if let Some(ejection) = &ejection {
        group::share(table, &endpoints, ejection);
    }
    let upstream = UpstreamConfig {
        name: table.name(),
        balance: balance?,
        endpoints,
        health,
        ejection: ejection?,
        retries: retries?,
        limits: limits?,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        total_timeout,
        drain_timeout,
        keep_alive_timeout,
        max_idle,
        max_head,
        max_headers,
        host: host?,
        tls,
        protocol,
    };
    pairs::check(table, &upstream);
    Some(upstream)
}
