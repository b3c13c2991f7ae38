//! `[[listener]]`: a socket that clients connect to.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use toml::de::DeTable;
use windlass_config_derive::FromTable;

use super::ListenerProxyProtocol;
use super::tls::ListenerTls;
use crate::config::field::{FromValue, Nested, Numbers, Switch};
use crate::config::read::Table;
use crate::config::value::unit::SIZE;

/// A socket that clients connect to. At least one is needed.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "[[listener]]", short = "address", title = title, check = check)]
#[hint("port" => "write it in the address: `address = \"0.0.0.0:8080\"`")]
#[hint("bind listen" => "it is called `address`: `address = \"0.0.0.0:8080\"`")]
#[hint("certificate" => "write it in `tls = { certificate = \"..\", key = \"..\" }`")]
pub struct Listener {
    /// The address to listen on. With port 0 the system picks a port.
    #[key(required = "0.0.0.0:8080")]
    pub(crate) address: SocketAddr,
    /// The certificate. Windlass then also offers HTTP/2.
    #[key(absent = "clear text")]
    pub tls: Option<ListenerTls>,
    /// Sends every request to the same address over HTTPS, in place of its route. `true` is the same as a table without
    /// keys. A request that one of `trusted_proxies` got over HTTPS goes on.
    #[key(default = false)]
    pub(crate) https_redirect: Option<HttpsRedirect>,
    /// Whether proxies name the client of each connection by the PROXY protocol. `true` is the same as
    /// a table without keys.
    #[key(default = false, synonyms = "accept_proxy accept_proxy_protocol")]
    pub proxy_protocol: Option<ListenerProxyProtocol>,
    /// From the first byte of a request's head to its end; then 408. It also limits a TLS
    /// handshake, and the time from accept to the first byte.
    #[key(default = "10s")]
    pub header_timeout: Duration,
    /// How long a connection may stay idle between requests.
    #[key(default = "75s")]
    pub keep_alive_timeout: Duration,
    /// Between two chunks of a request's body; then 408.
    #[key(default = "30s")]
    pub body_idle_timeout: Option<Duration>,
    /// The least that a client must send of a body each second while Windlass waits for it, beyond
    /// `body_idle_timeout` in all; then 408. It does not hold for gRPC, nor after the response has
    /// begun.
    #[key(default = "240B", within = "1B"..="1GiB")]
    pub min_body_rate: Option<u64>,
    /// How long a client may go without reading any of a response.
    #[key(default = "30s")]
    pub write_timeout: Duration,
    /// The least that a client must read of a response each second while Windlass waits for it, beyond
    /// `write_timeout` in all. A slower client is cut.
    #[key(default = "240B", within = "1B"..="1GiB")]
    pub min_response_rate: Option<u64>,
    /// The largest request head. A larger one gets 431.
    #[key(default = "32KiB", within = "1KiB"..="1MiB")]
    pub max_head: usize,
    /// The longest request target. A longer one gets 414.
    #[key(default = "8KiB", within = "256B"..="1MiB")]
    pub max_uri: usize,
    /// The most header fields in a request. More get 431.
    #[key(default = 100, within = 1..=1000)]
    pub max_headers: usize,
    /// The most open connections. At the limit, Windlass closes the connection that has been idle
    /// longest to accept a new one; if none is idle, new ones wait.
    #[key(default = 10_000, within = 1..=10_000_000)]
    pub max_connections: usize,
    /// The most open connections of one client: of an IPv4 address, or of an IPv6 network of 64
    /// bits. Windlass closes more at once. The `trusted_proxies` may have any number. With
    /// `proxy_protocol`, the client that the proxy names counts.
    #[key(absent = "`max_connections`: many clients may share one address", within = 1..=10_000_000)]
    pub max_connections_per_client: Option<usize>,
    /// The most requests on one connection. The last one gets `connection: close`, or GOAWAY on
    /// HTTP/2.
    #[key(default = 100_000, within = 1..=1_000_000_000, synonyms = "keepalive_requests keep_alive_requests")]
    pub max_requests_per_connection: u64,
    /// The most concurrent requests on one HTTP/2 connection.
    #[key(default = 100, within = 1..=10_000)]
    pub max_streams: u32,
}

impl Listener {
    /// Whether endpoints get the certificates of its clients (RFC 9440).
    #[must_use]
    pub(crate) fn forwards_certificates(&self) -> bool {
        let clients = self.tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
        clients.is_some_and(|clients| clients.forward)
    }
}

/// A redirect to HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(heading = "https_redirect = { .. }", short = "port")]
pub(crate) struct HttpsRedirect {
    /// The port that clients reach the TLS listener at.
    #[key(default = 443, within = 1..=65_535)]
    pub(crate) port: u16,
    /// Its status. 307 and 308 keep the method and the body.
    #[key(default = 308, kind = Numbers(&[301, 302, 307, 308]))]
    pub(crate) status: StatusCode,
}

impl FromValue for Option<HttpsRedirect> {
    type Kind = Switch<HttpsRedirect>;
    const KIND: Self::Kind = Switch {
        table: Nested::of::<HttpsRedirect>(),
        on: |_| HttpsRedirect {
            port: 443,
            status: StatusCode::PERMANENT_REDIRECT,
        },
    };
}

fn title(_values: &DeTable<'_>) -> String {
    "listener".to_owned()
}

fn check(table: &mut Table<'_>, listener: &Listener) {
    let (max_uri, max_head) = (listener.max_uri, listener.max_head);
    bound_once(table, listener.address);
    usual_port(table, listener.address);
    if listener.https_redirect.is_some() && table.has("tls") {
        table
            .error_at(
                "https_redirect",
                "`https_redirect` is for a listener without `tls`: this one speaks HTTPS",
            )
            .help("remove one of the two; the redirect belongs to the listener of port 80");
    }
    if max_uri >= max_head
        && let Some(span) = table.span_if_sound(&["max_uri", "max_head"])
    {
        // The target is a part of the head: it cannot be as long as it may.
        let print = |bytes: usize| SIZE.print(u64::try_from(bytes).unwrap_or(u64::MAX));
        let message = format!(
            "`max_uri` ({}) is not below `max_head` ({}), which holds the target too: longer targets are answered 431, not 414",
            print(max_uri),
            print(max_head)
        );
        table
            .warning(span, &message)
            .help("raise `max_head`, or lower `max_uri`");
    }
}

/// Warns of TLS at the port of clear text, and of clear text at the port of TLS.
fn usual_port(table: &mut Table<'_>, address: SocketAddr) {
    if table.is_incomplete() || !table.are_whole(&["tls"]) {
        return;
    }
    let (message, help) = match (address.port(), table.has("tls")) {
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
    table.warning_at("address", message).help(help);
}

/// Reports an address that an earlier listener has, alone or among others.
pub(super) fn bound_once(table: &mut Table<'_>, address: SocketAddr) {
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
        table.error_at("address", &message).help(
            "an address of zeros is every address of this machine: keep one of the two, or give one another port",
        );
    }
    if let Some(line) = table.earlier("address", &address.to_string(), table.span_of("address")) {
        let message = format!("`address` holds `{address}`, which line {line} has already");
        table.error_at("address", &message);
    }
}
