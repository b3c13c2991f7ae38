//! `health` of an upstream: how its endpoints are asked whether they are well.

use std::time::Duration;

use http::Method;
use windlass_config_derive::{FromTable, Word};

use super::StatusRanges;
use crate::config::field::{FromValue, Parsed, Switch};
use crate::config::read::Table;
use crate::config::section::UpstreamTls;
use crate::config::value::{Refused, host, name::line, unit};

/// Checks the health of each endpoint, once for each gateway. An endpoint is used until its first
/// check.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "health = { .. }", short = "path", check = in_time)]
#[hint("false enabled" => "for no checks leave `health` out")]
#[hint("true" => "write the check: `{ path = \"/healthz\" }`")]
#[hint("retries threshold" => "bad answers in a row are `fall`, good ones `rise`")]
pub(crate) struct HealthCheck {
    /// How it is asked.
    #[key(flatten = ProbeKeys)]
    pub(crate) probe: Probe,
    /// The port to check.
    #[key(absent = "that of the endpoint", within = 1..=65_535)]
    pub(crate) port: Option<u16>,
    /// Whether the check uses TLS: `false` for clear text while requests use TLS, `true` or a table
    /// for the opposite.
    #[key(absent = "as with requests: the upstream's `tls`", kind = TLS)]
    pub(crate) tls: CheckTls,
    /// Between two checks, at random up to a tenth more or less.
    #[key(default = "5s", within = "50ms"..="1h")]
    pub(crate) interval: Duration,
    /// For one check, including its connection.
    #[key(default = "2s", within = "10ms"..="5m")]
    pub(crate) timeout: Duration,
    /// After this many good checks in a row the endpoint is healthy.
    #[key(default = 2, within = 1..=100, synonyms = "healthy_threshold success")]
    pub(crate) rise: u32,
    /// After this many bad checks in a row the endpoint is unhealthy. The very first check decides
    /// alone.
    #[key(default = 3, within = 1..=100, synonyms = "unhealthy_threshold failures max_fails")]
    pub(crate) fall: u32,
}

/// Whether checks speak TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum CheckTls {
    /// As the endpoint's requests do.
    #[default]
    AsRequests,
    /// Clear text.
    Off,
    /// TLS of its own; without a key of its own that of the requests, where these speak TLS.
    On(UpstreamTls),
}

const TLS: Switch<UpstreamTls> = <Option<UpstreamTls>>::KIND;

impl From<Option<UpstreamTls>> for CheckTls {
    fn from(tls: Option<UpstreamTls>) -> Self {
        tls.map_or(Self::Off, Self::On)
    }
}

#[derive(FromTable)]
#[table(into = Probe, make = probe)]
struct ProbeKeys {
    /// The kind of check: an HTTP request, a TCP connection, or the gRPC health protocol
    /// (`grpc.health.v1`).
    #[key(default = "http", synonyms = "type")]
    kind: ProbeKind,
    #[key(flatten)]
    http: HttpCheck,
    /// The service to ask for in the gRPC health protocol.
    #[key(absent = "the whole server", kind = SERVICE)]
    service: String,
}

/// The kinds of probes, as words.
#[derive(Clone, Copy, PartialEq, Word)]
#[hint("https" => "write `\"http\"`: TLS is spoken where the upstream has `tls`, or the check `tls = true`")]
#[hint("tls" => "write `\"tcp\"`: TLS is spoken where the upstream has `tls`, or the check `tls = true`")]
enum ProbeKind {
    Http,
    Tcp,
    Grpc,
}

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// By a connection that is made and closed.
    Tcp,
    /// By an HTTP request.
    Http(HttpCheck),
    /// By the gRPC health protocol, for this service; empty for the whole server.
    Grpc(String),
}

/// The request of an HTTP check, and the answer that it expects.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
pub(crate) struct HttpCheck {
    /// The path of the HTTP request, including the query.
    #[key(default = "/", kind = TARGET, synonyms = "uri url")]
    pub(crate) path: String,
    /// The method of the HTTP request.
    #[key(default = "GET")]
    pub(crate) method: Method,
    /// The `host` field of the HTTP request.
    #[key(absent = "the endpoint's address", kind = HOST)]
    pub(crate) host: Option<String>,
    /// The statuses of a healthy endpoint.
    #[key(default = "200-399", synonyms = "status statuses")]
    pub(crate) expect: StatusRanges,
    /// A text that the first 64 KiB of the response body must contain.
    #[key(absent = "any body")]
    pub(crate) body: Option<String>,
}

const TARGET: Parsed<String> = Parsed::new("a path such as `\"/healthz\"`", target).matching("^/");

const HOST: Parsed<String> = Parsed::new("a name, with or without a port", host::literal);

const SERVICE: Parsed<String> = Parsed::new("the name of a gRPC service", line);

fn probe(table: &mut Table<'_>, keys: ProbeKeys) -> Probe {
    of_other_kinds(table, keys.kind);
    well_though_broken(table, &keys.http.expect);
    match keys.kind {
        ProbeKind::Tcp => Probe::Tcp,
        ProbeKind::Grpc => Probe::Grpc(keys.service),
        ProbeKind::Http => Probe::Http(keys.http),
    }
}

/// Reports the keys of other kinds than this.
fn of_other_kinds(table: &mut Table<'_>, kind: ProbeKind) {
    // Of one that was refused it is not certain which keys are its own.
    if !table.is_sound("kind") {
        return;
    }
    let http = ["path", "method", "host", "expect", "body"];
    let keys = http.map(|key| (key, ProbeKind::Http, "http"));
    for (key, of, word) in keys
        .into_iter()
        .chain([("service", ProbeKind::Grpc, "grpc")])
    {
        if kind != of && table.has(key) {
            let message = format!("`health.{key}` is for `kind = \"{word}\"` only");
            let help = format!("remove it, or write `kind = \"{word}\"`");
            table.error_at(key, &message).help(help);
        }
    }
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
            .warning_at("expect", &message)
            .help("write the statuses of an endpoint that is well, such as `\"200-299\"`");
    }
}

/// Warns of a wait for one answer that is no shorter than the time between two questions.
fn in_time(table: &mut Table<'_>, check: &HealthCheck) {
    let (timeout, interval) = (check.timeout, check.interval);
    if timeout < interval || table.is_incomplete() {
        return;
    }
    let Some(span) = table.span_if_sound(&["interval", "timeout"]) else {
        return;
    };
    let (timeout, interval) = (unit::duration(timeout), unit::duration(interval));
    let message = format!(
        "`health.timeout` ({timeout}) is not below `interval` ({interval}): an endpoint that hangs is asked less than half as often as it should be, and found out late"
    );
    table.warning(span, &message).help(format!(
        "make `timeout` shorter than `\"{interval}\"`, or `interval` longer"
    ));
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
