//! `[upstream.<name>]`: a named group of endpoints.

use std::time::Duration;

use super::tls;
use crate::config::field::{
    Choice, Empty, Entries, Field, Is, Map, Parsed, Required, Section, Size, Time, Wait, Whole,
    Written,
};
use crate::config::model::{BalancePolicy, Endpoint, HostRule, Upstream, UpstreamProtocol};
use crate::config::read::Table;
use crate::config::value::name::{line, name};
use crate::config::value::{address, host};

/// `[upstream.<name>]`.
pub(super) static UPSTREAM: Section = Section {
    heading: "[upstream.<name>]",
    doc: "A named group of endpoints. The name is the attribute `upstream.name`.",
    fields: &[
        &BALANCE,
        &ENDPOINTS,
        &CONNECT_TIMEOUT,
        &FIRST_BYTE_TIMEOUT,
        &IDLE_TIMEOUT,
        &TOTAL_TIMEOUT,
        &KEEP_ALIVE_TIMEOUT,
        &MAX_IDLE,
        &MAX_HEAD,
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
        ("targets", "they are called `endpoints`"),
        (
            "weight",
            "each endpoint has its own: `{ address = \"10.0.0.1:8080\", weight = 3 }`",
        ),
    ],
    short: None,
    private: false,
};

static BALANCE: Field<Choice<BalancePolicy>, Is<BalancePolicy>> = Field::new(
    "balance",
    Choice {
        options: &[
            ("round-robin", BalancePolicy::RoundRobin),
            ("least-connections", BalancePolicy::LeastConnections),
        ],
    },
    Is(BalancePolicy::RoundRobin),
    "How an endpoint is picked: in turn, or the one with the fewest active requests; both by weight.",
);

static ENDPOINTS: Field<Entries<Endpoint>, Required> = Field::new(
    "endpoints",
    Entries {
        section: &ENDPOINT,
        least: 1,
        title: None,
        read: endpoint,
    },
    Required("[{ address = \"10.0.0.1:8080\" }]"),
    "Its endpoints, at least one.",
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
    "From the connection to the end of the response; then 504, or the response is cut.",
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

static HOST: Field<Parsed<HostRule>, Written> = Field::new(
    "host",
    Parsed {
        words: "`\"preserve\"`, `\"endpoint\"` or a name",
        pattern: "",
        private: false,
        parse: |text, _| host::rule(text),
    },
    Written("preserve"),
    "What goes upstream as `host`: what the client sent, the endpoint's address, or this name.",
);

static PROTOCOL: Field<Choice<UpstreamProtocol>, Is<UpstreamProtocol>> = Field::new(
    "protocol",
    Choice {
        options: &[
            ("auto", UpstreamProtocol::Auto),
            ("http1", UpstreamProtocol::Http1),
            ("http2", UpstreamProtocol::Http2),
        ],
    },
    Is(UpstreamProtocol::Auto),
    "What is spoken with the endpoints; `auto` is HTTP/1.1 on clear text, and with TLS HTTP/2 where the endpoint can.",
);

/// Reads one `[upstream.<name>]`.
pub(super) fn upstream(table: &mut Table<'_>) -> Option<Upstream> {
    let balance = table.take(&BALANCE);
    let endpoints = table.take(&ENDPOINTS);
    let connect_timeout = table.take(&CONNECT_TIMEOUT);
    let first_byte_timeout = table.take(&FIRST_BYTE_TIMEOUT);
    let idle_timeout = table.take(&IDLE_TIMEOUT);
    let total_timeout = table.take(&TOTAL_TIMEOUT);
    let keep_alive_timeout = table.take(&KEEP_ALIVE_TIMEOUT);
    let max_idle = table.take(&MAX_IDLE);
    let max_head = table.take(&MAX_HEAD);
    let host = table.take(&HOST);
    let tls = table.take(&tls::UPSTREAM).flatten();
    let protocol = table.take(&PROTOCOL);
    let endpoints = endpoints?;
    weighed(table, &endpoints);
    Some(Upstream {
        name: table.name(),
        balance,
        endpoints,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        total_timeout,
        keep_alive_timeout,
        max_idle,
        max_head,
        host: host?,
        tls,
        protocol,
    })
}

fn weighed(table: &mut Table<'_>, endpoints: &[Endpoint]) {
    if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        let span = table.span_of(ENDPOINTS.key);
        table
            .error(
                span,
                "every endpoint has weight 0, so none would take a request",
            )
            .help("give one of them a weight from 1 to 1000");
    }
    let of = format!("endpoint of {}", table.name());
    for endpoint in endpoints {
        let address = &endpoint.address;
        if let Some(line) = table.earlier(&of, address, endpoint.span) {
            let message = format!("`{address}` is an endpoint already, in line {line}");
            table
                .error(endpoint.span, &message)
                .help("to give it a larger share, give it a larger `weight`");
        }
    }
}

static ENDPOINT: Section = Section {
    heading: "endpoints = [{ .. }]",
    doc: "One address of an upstream.",
    fields: &[&ADDRESS, &WEIGHT, &LABELS],
    hints: &[
        (
            "url",
            "it is called `address`: `address = \"10.0.0.1:8080\"`",
        ),
        (
            "host",
            "it is called `address`: `address = \"10.0.0.1:8080\"`",
        ),
        (
            "port",
            "write it in the address: `address = \"10.0.0.1:8080\"`",
        ),
    ],
    short: Some("address"),
    private: false,
};

static ADDRESS: Field<Parsed<String>, Required> = Field::new(
    "address",
    Parsed {
        words: "an IP address or a name, with a port",
        pattern: ":[0-9]+$",
        private: false,
        parse: |text, _| address::endpoint(text),
    },
    Required("\"10.0.0.1:8080\""),
    "Its IP address or name, with the port; a name is resolved when the configuration is put in use.",
);

static WEIGHT: Field<Whole<u32>, Is<u32>> = Field::new(
    "weight",
    Whole {
        least: 0,
        most: 1000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(1),
    "Its share of the requests, relative to the others; 0 takes none.",
);

static LABELS: Field<Map<Parsed<String>>, Empty> = Field::new(
    "labels",
    Map {
        of: Parsed {
            words: "a text of one line",
            pattern: "",
            private: false,
            parse: |text, _| line(text),
        },
        key: name,
        keys: "a name of letters, digits, `_` and `-`",
    },
    Empty("none"),
    "For route hints of filters.",
);

fn endpoint(table: &mut Table<'_>) -> Option<Endpoint> {
    let address = table.take(&ADDRESS);
    let weight = table.take(&WEIGHT);
    let labels = table.take(&LABELS);
    Some(Endpoint {
        address: address?,
        span: table.span_of(ADDRESS.key),
        weight,
        labels,
    })
}
