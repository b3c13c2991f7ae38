//! `[server]` and `[[listener]]`.

mod proxies;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderName;

use super::plan::{BURST, bucket};
use super::tls;
use crate::config::field::{
    Empty, Field, Is, List, Optional, Parsed, Rate as RateKind, Required, Section, Size, Time,
    Wait, Whole,
};
use crate::config::model::{Cidr, Listener, Server};
use crate::config::read::Table;
use crate::config::value::address;
use crate::config::value::message::field_name;
use crate::config::value::name::pseudonym;
use crate::config::value::size;

/// `[server]`.
pub(super) static SERVER: Section = Section {
    heading: "[server]",
    doc: "The process.",
    fields: &[
        &WORKERS,
        &DRAIN_TIMEOUT,
        &DRAIN_DELAY,
        &TRUSTED_PROXIES,
        &CLIENT_FIELDS,
        &RESOLVERS,
        &RATE,
        &BURST,
        &MAX_RATE_COUNTERS,
        &MAX_USED_PROOFS,
        &VIA,
    ],
    hints: &[],
    short: None,
    private: false,
};

static WORKERS: Field<Whole<NonZeroUsize>, Optional> = Field::new(
    "workers",
    Whole {
        least: 1,
        most: 1024,
        of: |number| NonZeroUsize::new(usize::try_from(number).ok()?),
    },
    Optional("one for each core"),
    "How many worker threads carry requests.",
);

static DRAIN_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "drain_timeout",
    Time {
        least: Duration::ZERO,
        most: Duration::from_hours(24),
    },
    Is(Duration::from_secs(30)),
    "How long a stop waits for requests that are running.",
);

static DRAIN_DELAY: Field<Time, Is<Duration>> = Field::new(
    "drain_delay",
    Time {
        least: Duration::ZERO,
        most: Duration::from_hours(1),
    },
    Is(Duration::ZERO),
    "How long a stop goes on taking requests after `/readyz` says 503, before it drains: a load balancer in front finds out meanwhile.",
);

static TRUSTED_PROXIES: Field<List<Parsed<Cidr>>, Empty> = Field::new(
    "trusted_proxies",
    List {
        of: Parsed {
            words: "a block of addresses such as `\"10.0.0.0/8\"`",
            pattern: "^[0-9A-Fa-f.:]+/[0-9]+$",
            private: false,
            parse: |text, _| address::cidr(text),
        },
        least: 0,
        repeats: false,
    },
    Empty("nobody's"),
    "The proxies in front of Windlass: it believes their `X-Forwarded-*` or `Forwarded` fields about the client and its request, and drops those of every other client.",
);

static CLIENT_FIELDS: Field<List<Parsed<HeaderName>>, Empty> = Field::new(
    "client_fields",
    List {
        of: Parsed {
            words: "a field name such as `\"x-consumer-id\"`",
            pattern: "^[!#-'*+.^_`|~0-9A-Za-z-]+$",
            private: false,
            parse: |text, _| field_name(text),
        },
        least: 0,
        repeats: false,
    },
    Empty("none"),
    "Fields that every client may send, although Windlass drops them by default: claims of who asks (`x-real-ip`, `x-consumer-*`, ..), and names with `_` that can be taken for them.",
);

static RESOLVERS: Field<List<Parsed<SocketAddr>>, Empty> = Field::new(
    "resolvers",
    List {
        of: Parsed {
            parse: |text, _| address::resolver(text),
            ..SOCKET
        },
        least: 0,
        repeats: false,
    },
    Empty("the system's"),
    "The DNS servers that Windlass asks for the names of endpoints: the next one if one fails, or is slow.",
);

static RATE: Field<RateKind, Optional> = Field::new(
    "rate",
    RateKind,
    Optional("no rate"),
    "Requests a second of all clients together, on each gateway; beyond it 429 `throttled`.",
);

static MAX_RATE_COUNTERS: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_rate_counters",
    Whole {
        least: 1,
        most: 100_000_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(200_000),
    "The most counters of bounds without a key (`builtin:rate-limit`) in memory, some 200 bytes each, 600 with a Redis: one for each bound and value that is counted. Each bound has an equal share of one half, and the other half is for whoever comes first. Beyond that new values share one for each bound.",
);

static MAX_USED_PROOFS: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_used_proofs",
    Whole {
        least: 1,
        most: 100_000_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(900_000),
    "The most proofs of clients' keys (DPoP, `builtin:jwt`) in memory, some 40 bytes each: each until it is too old. Beyond it 503 `too_many_proofs`. One client has half of the room at most.",
);

static VIA: Field<Parsed<String>, Optional> = Field::new(
    "via",
    Parsed {
        words: "a name of letters, digits, `-`, `_` and `.`, up to 64 of them",
        pattern: "^[A-Za-z0-9_.-]{1,64}$",
        private: false,
        parse: |text, _| pseudonym(text),
    },
    Optional("a random name, another one at each start"),
    "How requests name this gateway in `Via`, by which a loop is found: 508 `loop_detected`. Gateways that share a name count as one.",
);

/// Reads `[server]`.
pub(super) fn server(table: &mut Table<'_>) -> Option<Server> {
    let server = Server {
        workers: table.take(&WORKERS),
        drain_timeout: table.take(&DRAIN_TIMEOUT),
        drain_delay: table.take(&DRAIN_DELAY),
        trusted_proxies: table.take(&TRUSTED_PROXIES),
        client_fields: table.take(&CLIENT_FIELDS),
        resolvers: table.take(&RESOLVERS),
        rate: bucket(table, &RATE, &BURST),
        max_rate_counters: table.take(&MAX_RATE_COUNTERS),
        max_used_proofs: table.take(&MAX_USED_PROOFS),
        via: table.take(&VIA),
        are_resolvers_whole: table.are_whole(&[RESOLVERS.key]),
    };
    proxies::check(table, TRUSTED_PROXIES.key, &server.trusted_proxies);
    Some(server)
}

/// `[[listener]]`.
pub(super) static LISTENER: Section = Section {
    heading: "[[listener]]",
    doc: "A socket that clients connect to. At least one.",
    fields: &[
        &ADDRESS,
        &tls::LISTENER,
        &HEADER_TIMEOUT,
        &KEEP_ALIVE_TIMEOUT,
        &BODY_IDLE_TIMEOUT,
        &WRITE_TIMEOUT,
        &MAX_HEAD,
        &MAX_URI,
        &MAX_HEADERS,
        &MAX_CONNECTIONS,
        &MAX_STREAMS,
    ],
    hints: &[
        (
            "port",
            "write it in the address: `address = \"0.0.0.0:8080\"`",
        ),
        (
            "bind",
            "it is called `address`: `address = \"0.0.0.0:8080\"`",
        ),
        (
            "listen",
            "it is called `address`: `address = \"0.0.0.0:8080\"`",
        ),
        (
            "certificate",
            "it stands in `tls = { certificate = \"..\", key = \"..\" }`",
        ),
    ],
    short: Some("address"),
    private: false,
};

static ADDRESS: Field<Parsed<SocketAddr>, Required> = Field::new(
    "address",
    SOCKET,
    Required("\"0.0.0.0:8080\""),
    "Where it is bound; port 0 lets the system choose.",
);

/// An address to bind to.
pub(super) const SOCKET: Parsed<SocketAddr> = Parsed {
    words: "an IP address with a port",
    pattern: ":[0-9]+$",
    private: false,
    parse: |text, _| address::socket(text),
};

static HEADER_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "header_timeout",
    Time::USUAL,
    Is(Duration::from_secs(10)),
    "From the first byte of a request's head to its end; then 408. Also for a TLS handshake, and from the accept to the first byte.",
);

static KEEP_ALIVE_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "keep_alive_timeout",
    Time::USUAL,
    Is(Duration::from_secs(75)),
    "How long a connection may idle between requests.",
);

static BODY_IDLE_TIMEOUT: Field<Wait, Is<Option<Duration>>> = Field::new(
    "body_idle_timeout",
    Wait(Time::USUAL),
    Is(Some(Duration::from_secs(30))),
    "Between two pieces of a request's body; then 408.",
);

static WRITE_TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "write_timeout",
    Time::USUAL,
    Is(Duration::from_secs(30)),
    "How long a client may take nothing of a response.",
);

static MAX_HEAD: Field<Size<usize>, Is<usize>> = Field::new(
    "max_head",
    Size {
        least: 1 << 10,
        most: 1 << 20,
        of: |bytes| usize::try_from(bytes).ok(),
    },
    Is(32 << 10),
    "The largest request head; beyond it 431.",
);

static MAX_URI: Field<Size<usize>, Is<usize>> = Field::new(
    "max_uri",
    Size {
        least: 1 << 8,
        most: 1 << 20,
        of: |bytes| usize::try_from(bytes).ok(),
    },
    Is(8 << 10),
    "The longest request target; beyond it 414.",
);

static MAX_HEADERS: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_headers",
    Whole {
        least: 1,
        most: 1000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(100),
    "The most fields of a request head; beyond it 431.",
);

static MAX_CONNECTIONS: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_connections",
    Whole {
        least: 1,
        most: 10_000_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(10_000),
    "The most connections open at once. When it is reached, the one that has idled longest is closed for a new one; where none idles, new ones wait.",
);

static MAX_STREAMS: Field<Whole<u32>, Is<u32>> = Field::new(
    "max_streams",
    Whole {
        least: 1,
        most: 10_000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(100),
    "The most requests at once on one HTTP/2 connection.",
);

/// Reads one `[[listener]]`.
pub(super) fn listener(table: &mut Table<'_>) -> Option<Listener> {
    let address = table.take(&ADDRESS);
    let tls = table.take(&tls::LISTENER);
    let header_timeout = table.take(&HEADER_TIMEOUT);
    let keep_alive_timeout = table.take(&KEEP_ALIVE_TIMEOUT);
    let body_idle_timeout = table.take(&BODY_IDLE_TIMEOUT);
    let write_timeout = table.take(&WRITE_TIMEOUT);
    let max_head = table.take(&MAX_HEAD);
    let max_uri = table.take(&MAX_URI);
    let max_headers = table.take(&MAX_HEADERS);
    let max_connections = table.take(&MAX_CONNECTIONS);
    let max_streams = table.take(&MAX_STREAMS);
    let address = address?;
    bound_once(table, address);
    usual_port(table, address);
    if max_uri >= max_head && table.is_sound(MAX_URI.key) && table.is_sound(MAX_HEAD.key) {
        target_in_head(table, max_uri, max_head);
    }
    Some(Listener {
        address,
        header_timeout,
        keep_alive_timeout,
        body_idle_timeout,
        write_timeout,
        max_head,
        max_uri,
        max_headers,
        max_connections,
        max_streams,
        tls,
    })
}

/// Warns of TLS at the port of clear text, and of clear text at the port of TLS.
fn usual_port(table: &mut Table<'_>, address: SocketAddr) {
    if table.is_incomplete() || !table.are_whole(&[tls::LISTENER.key]) {
        return;
    }
    let (message, help) = match (address.port(), table.has(tls::LISTENER.key)) {
        (443, false) => (
            "`address` has port 443, and the listener speaks clear text: browsers and clients of `https://` get no answer that they can read",
            "add `tls = { certificate = \"api.pem\", key = \"api.key\" }`, or take another port where something in front ends TLS",
        ),
        (80, true) => (
            "`address` has port 80, and the listener speaks TLS: clients of `http://` get no answer",
            "write port 443, or leave `tls` out",
        ),
        _ => return,
    };
    table
        .warning(table.span_of(ADDRESS.key), message)
        .help(help);
}

/// Warns of a target that cannot be as long as it may, as it is a part of the head.
fn target_in_head(table: &mut Table<'_>, max_uri: usize, max_head: usize) {
    let key = if table.has(MAX_URI.key) {
        MAX_URI.key
    } else {
        MAX_HEAD.key
    };
    let print = |bytes: usize| size::print(u64::try_from(bytes).unwrap_or(u64::MAX));
    let message = format!(
        "`max_uri` ({}) is not below `max_head` ({}), which holds the target too: longer targets are answered 431, not 414",
        print(max_uri),
        print(max_head)
    );
    table
        .warning(table.span_of(key), &message)
        .help("raise `max_head`, or lower `max_uri`");
}

/// Reports an address that an earlier listener has, alone or among others.
pub(super) fn bound_once(table: &mut Table<'_>, address: SocketAddr) {
    let span = table.span_of(ADDRESS.key);
    if address.port() == 0 {
        return;
    }
    let others = table.all_earlier("address").into_iter();
    let others = others.filter_map(|(text, line)| Some((text.parse::<SocketAddr>().ok()?, line)));
    let overlaps = |other: &SocketAddr| {
        let all = match (other.ip().is_unspecified(), address.ip().is_unspecified()) {
            (true, _) => other.is_ipv6() || address.is_ipv4(),
            (false, true) => address.is_ipv6() || other.is_ipv4(),
            (false, false) => false,
        };
        other.port() == address.port() && *other != address && all
    };
    if let Some((other, line)) = others.into_iter().find(|(other, _)| overlaps(other)) {
        let message = format!(
            "`address` holds `{address}`, which has addresses in common with `{other}` in line {line}: only one of them can be bound"
        );
        table.error(span, &message).help(
            "an address of zeros stands for all of this machine: keep one of the two, or give one another port",
        );
    }
    if let Some(line) = table.earlier("address", &address.to_string(), span) {
        let message = format!("`address` holds `{address}`, which line {line} has already");
        table.error(span, &message);
    }
}
