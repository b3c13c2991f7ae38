//! The exchange: one request and, later, its response, with everything that Windlass has found out
//! about it.
//!
//! It is made when the head arrives, and passes from stop to stop; each stop fills in its part. It
//! imports no stop. It has heads and facts, never a body: bodies pass as streams
//! ([`crate::http::body`]), so that an exchange is small and can move into a filter's store while one
//! of its phases runs.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use crate::callout::{PendingCall, RequestDigest};
use crate::error::grpc;
use crate::http::proxy_protocol::ProxiedFacts;
use crate::http::tls::session::{ClientCertificate, TlsSession};
use crate::limits::{FilterLevels, LimitTickets, RateLevel, SharedRate};
use crate::model::head::{RequestHead, ResponseHead};
use crate::model::request_id::RequestId;
use crate::model::rewrite::Rewrite;

mod access_log_line;
mod access_values;
mod arrival_time;
mod attributes;
pub(crate) mod exchange_cell;
mod notes;
mod rejected;
mod response_edits;
mod via;

use access_log_line::AccessLogLine;
pub(crate) use access_values::AccessEntry;
pub(crate) use arrival_time::ArrivalTime;
pub(crate) use attributes::{AttributeValue, Attributes};
pub use exchange_cell::ExchangeCell;
pub(crate) use notes::Notes;
pub(crate) use rejected::{KeyRejection, NoPlan, RejectedKey, RejectedToken};
pub(crate) use response_edits::{
    EditsTooLarge, MAX_FIELDS, MAX_HEAD, ResponseEdit, ResponseEdits, has_room,
};
pub(crate) use via::Via;

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// Names the exchange in answers, logs and to filters.
    pub id: RequestId,
    /// Whether a field of the request has a name that can be taken for another.
    pub has_ambiguous_fields: bool,
    /// Whether its client takes trailers: it has a `TE` with `trailers`, which no filter edits.
    pub takes_trailers: bool,
    /// The trace that it is part of, by a trusted proxy: a `traceparent`.
    pub trace: Option<Box<HeaderValue>>,
    /// When its head was complete.
    pub arrived: Instant,
    pub client: Client,
    /// Whether it is a call of gRPC, whose errors have a form of their own.
    pub grpc: bool,
    /// The request's head, as it will go upstream (and, after that, as it went).
    pub request: RequestHead,
    /// The request's target as the client sent it, before the path rule.
    pub original_target: PathAndQuery,
    /// The target as it was routed: what path parameters point into.
    pub routed_target: PathAndQuery,
    /// Its route, once there is one.
    pub route: Option<Arc<RouteInfo>>,
    /// The values that the route's pattern bound.
    pub params: ParamRanges,
    /// The response's head, once there is one.
    pub response: Option<ResponseHead>,
    /// Facts set by filters.
    pub attributes: Attributes,
    /// The notes that filters keep for their later phases.
    pub notes: Notes,
    /// Edits of the response that filters announced while there was none.
    pub response_edits: ResponseEdits,
    /// Calls of the running filter to other servers.
    pub(crate) callouts: Option<Box<CalloutAnswers>>,
    /// The charges of its filters to plans, which they may give back.
    pub tickets: LimitTickets,
    /// The levels of those plans' bounds at that time.
    pub levels: FilterLevels,
    /// Facts that few exchanges have: one box for all, so that the others are not larger.
    pub account: Option<Box<ExchangeAccount>>,
    /// Why a key that was accepted has no plan here, if it has none.
    pub no_plan: Option<NoPlan>,
    /// The hints of filters about where the request goes: few give one.
    pub hint: Option<Box<RouteHint>>,
    pub outcome: Outcome,
}

// One is allocated for each request, and the allocator has a fast way up to this size.
const _: () = assert!(size_of::<Exchange>() <= 1024);

impl Exchange {
    /// An exchange that begins now, with a request of this client.
    #[must_use]
    pub fn new(id: RequestId, client: Client, request: RequestHead) -> Self {
        Self {
            id,
            has_ambiguous_fields: false,
            takes_trailers: false,
            trace: None,
            arrived: Instant::now(),
            client,
            grpc: false,
            original_target: request.target.clone(),
            routed_target: request.target.clone(),
            request,
            route: None,
            params: Default::default(),
            response: None,
            attributes: Default::default(),
            notes: Default::default(),
            response_edits: Default::default(),
            callouts: None,
            tickets: Default::default(),
            levels: Default::default(),
            account: None,
            no_plan: None,
            hint: None,
            outcome: Default::default(),
        }
    }
}

/// The sender of a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's address: the connection's, or the one that a trusted proxy named.
    pub ip: IpAddr,
    /// The connection's remote port.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Facts that a proxy told of by the PROXY protocol.
    pub(crate) proxied: Option<Arc<ProxiedFacts>>,
    /// The TLS of its connection.
    pub(crate) tls: Option<Arc<TlsSession>>,
}

impl Client {
    /// The client of a connection.
    #[must_use]
    pub const fn new(ip: IpAddr, port: u16, scheme: Scheme) -> Self {
        Self {
            ip,
            port,
            scheme,
            proxied: None,
            tls: None,
        }
    }

    /// The certificate that it has presented to the listener.
    #[must_use]
    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        self.tls.as_ref()?.certificate.as_ref()
    }

    /// `client.cert.<name>`.
    fn certificate_fact(&self, name: &str) -> Option<AttributeValue> {
        let certificate = self.certificate()?;
        let text = match name {
            "subject" => &certificate.subject,
            "issuer" => &certificate.issuer,
            "serial" => &certificate.serial,
            "fingerprint" => &certificate.fingerprint,
            "san" => &certificate.names,
            "not-before" => return Some(AttributeValue::Number(certificate.begins_s)),
            "not-after" => return Some(AttributeValue::Number(certificate.ends_s)),
            _ => return None,
        };
        Some(AttributeValue::Text(text.clone()))
    }
}

/// The facts of a route for filters and the access log. One for each route, shared.
#[derive(Debug, Default)]
pub struct RouteInfo {
    /// `route.id`.
    pub(crate) name: Arc<str>,
    /// `api.id`.
    pub(crate) api: Option<Arc<str>>,
    /// `api.stage`.
    pub(crate) stage: Option<Arc<str>>,
    /// Its pattern, as it is written. Methods of a plan have it in their names.
    pub(crate) pattern: Arc<str>,
    /// `api.variable.<name>`: the stage variables, by name.
    pub(crate) variables: Box<[(Box<str>, Arc<str>)]>,
    /// The base path of its API.
    pub(crate) base: Option<BasePath>,
    /// The names of the path parameters, in the order of the pattern.
    pub(crate) params: Box<[Box<str>]>,
    /// Its changes of hosts and paths.
    pub(crate) rewrite: Rewrite,
    /// The rates that its requests share.
    pub(crate) rates: Rates,
    /// Its entry in `Via`.
    pub(crate) via: Via,
}

/// The rates that all requests of a route share, whoever they come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    /// The route's own.
    pub(crate) route: Option<SharedRate>,
    /// The gateway's.
    pub(crate) gateway: Option<SharedRate>,
}

impl RouteInfo {
    /// A copy whose reference counts no other thread touches.
    #[must_use]
    pub(crate) fn own_copy(&self) -> Self {
        let copy = |text: &Option<Arc<str>>| text.as_deref().map(Arc::from);
        let variables = self.variables.iter();
        Self {
            name: Arc::from(&*self.name),
            api: copy(&self.api),
            stage: copy(&self.stage),
            pattern: Arc::from(&*self.pattern),
            variables: variables
                .map(|(name, value)| (name.clone(), Arc::from(&**value)))
                .collect(),
            base: self
                .base
                .as_ref()
                .and_then(|base| BasePath::new(&base.path)),
            params: self.params.clone(),
            rewrite: self.rewrite.clone(),
            rates: self.rates.clone(),
            via: self.via.own_copy(),
        }
    }
}

impl BasePath {
    /// The base path `/shop/v1`. None if no field's value can hold it.
    #[must_use]
    pub(crate) fn new(path: &str) -> Option<Self> {
        Some(Self {
            segments: path.matches('/').count(),
            prefix: HeaderValue::from_str(path).ok()?,
            path: path.into(),
        })
    }
}

impl Rates {
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.route.is_none() && self.gateway.is_none()
    }
}

/// The path before all paths of an API: `/shop/v1`.
#[derive(Debug, Clone)]
pub(crate) struct BasePath {
    /// Itself, without a slash at its end.
    pub(crate) path: Box<str>,
    pub(crate) segments: usize,
    /// Itself, for `x-forwarded-prefix`.
    pub(crate) prefix: HeaderValue,
}

/// The positions of the path parameters' values in the routed path, in the pattern's order.
pub(crate) type ParamRanges = smallvec::SmallVec<[std::ops::Range<usize>; 4]>;

/// The hints of filters about where the request goes; later wins.
#[derive(Debug, Clone, Default)]
pub struct RouteHint {
    /// The upstream's name.
    pub(crate) upstream: Option<Arc<str>>,
    /// Labels that the endpoint must carry.
    pub(crate) labels: Vec<(String, String)>,
    /// For a consistent pick.
    pub(crate) affinity: Option<Vec<u8>>,
    /// Lowers the first-byte time-out.
    pub(crate) timeout: Option<std::time::Duration>,
}

/// The account of an exchange, beside the tickets of its usage plans.
#[derive(Debug, Default)]
pub struct ExchangeAccount {
    /// The levels of bounds without a key, by the position of the filter that asked.
    pub(crate) rate_levels: RateLevels,
    /// The proof of the client's key that was accepted: a filter whose phase runs again accepts it again.
    pub(crate) proof: Option<[u8; 16]>,
    /// Fields of the request's head that filters edited, some more than once; kept if trailers may come.
    pub(crate) edited: Option<Vec<HeaderName>>,
}

/// The levels of bounds without a key, each with the position of the filter that asked.
pub(crate) type RateLevels = smallvec::SmallVec<[(u16, RateLevel); 2]>;

/// The calls of a phase to other servers, kept for when it runs again.
pub(crate) type CalloutAnswers = smallvec::SmallVec<[(RequestDigest, Arc<PendingCall>); 2]>;

/// The outcome of an exchange, for the access log, metrics and the log phase.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The time of day at which the head was complete, once somebody asked for it.
    pub(crate) arrival_time: ArrivalTime,
    /// `upstream.name`, once one was tried.
    pub(crate) upstream: Option<Arc<str>>,
    /// `upstream.endpoint`, once one was tried.
    pub(crate) endpoint: Option<Arc<str>>,
    /// From the first attempt's start to the response's head. Microseconds, at least one.
    pub(crate) upstream_us: Option<NonZeroU64>,
    /// Its attempts, where there was more than one.
    pub(crate) attempts: Vec<AttemptOutcome>,
    /// The request's body, as it came in. Bytes.
    pub(crate) request_bytes: u64,
    /// The response's body, as it went out. Bytes.
    pub(crate) response_bytes: u64,
    /// The code of the error or the reason of the refusal that answered, where one did.
    pub(crate) failure: Option<Arc<str>>,
    /// The filter that refused or failed, where one did.
    pub(crate) filter: Option<Arc<str>>,
    /// The API key that was rejected, where one was.
    pub(crate) rejected_key: Option<Box<RejectedKey>>,
    /// The token that was rejected, where one was.
    pub(crate) rejected_token: Option<Box<RejectedToken>>,
}

/// One of several attempts at an exchange, for the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AttemptOutcome {
    /// Where it went.
    #[serde(serialize_with = "shared_text")]
    pub(crate) endpoint: Arc<str>,
    /// From its start to the response's head, or to the fault. Microseconds.
    #[serde(rename = "us")]
    pub(crate) duration_us: u64,
    /// The code of the fault, or the status, for which another attempt followed; or the fault that the
    /// exchange ended with. None: its response was the answer.
    pub(crate) fault: Option<Box<str>>,
}

impl Outcome {
    /// The API key that was rejected, if a filter refused the request after that: one that lets a
    /// request without a key pass makes no refusal of it.
    #[must_use]
    pub(crate) fn rejection(&self) -> Option<&RejectedKey> {
        let rejected = self.rejected_key.as_deref();
        rejected.filter(|_| self.is_refused())
    }

    /// The token that was rejected, if a filter refused the request after that.
    #[must_use]
    pub(crate) fn token_rejection(&self) -> Option<&RejectedToken> {
        let rejected = self.rejected_token.as_deref();
        rejected.filter(|_| self.is_refused())
    }

    fn is_refused(&self) -> bool {
        self.filter.is_some() && self.failure.is_some()
    }
}

/// The hint of a request for which no filter gave one.
static NO_HINT: RouteHint = RouteHint {
    upstream: None,
    labels: Vec::new(),
    affinity: None,
    timeout: None,
};

impl Exchange {
    /// The hints of filters about where the request goes.
    #[must_use]
    pub(crate) fn hint(&self) -> &RouteHint {
        self.hint.as_deref().unwrap_or(&NO_HINT)
    }

    /// A fact that belongs to the host, by its attribute name; none also if this stop does not
    /// have it yet.
    #[must_use]
    pub(crate) fn host_fact(&self, name: &str) -> Option<AttributeValue> {
        let text = |text: &str| Some(AttributeValue::Text(text.to_owned()));
        let number = |number: u64| {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            Some(AttributeValue::Number(number))
        };
        let (route, outcome) = (self.route.as_deref(), &self.outcome);
        match name {
            "client.ip" => text(&self.client.ip.to_string()),
            "client.port" => number(self.client.port.into()),
            "client.authority" => text(self.client.proxied.as_ref()?.authority.as_ref()?),
            "client.vpc-endpoint" => text(self.client.proxied.as_ref()?.vpc_endpoint.as_ref()?),
            "request.id" => text(self.id.as_str()),
            "request.time-ms" => number(self.arrived_ms()),
            "route.id" => text(&route?.name),
            "api.id" => text(route?.api.as_ref()?),
            "api.stage" => text(route?.stage.as_ref()?),
            "api.base-path" => text(&route?.base.as_ref()?.path),
            "upstream.name" => text(outcome.upstream.as_ref()?),
            "upstream.endpoint" => text(outcome.endpoint.as_ref()?),
            "outcome.failure" => text(outcome.failure.as_ref()?),
            "outcome.status" => number(self.response.as_ref()?.status.as_u16().into()),
            "outcome.duration-us" => number(micros(self.arrived.elapsed())),
            "outcome.upstream-us" => number(outcome.upstream_us?.get()),
            "outcome.request-bytes" => number(outcome.request_bytes),
            "outcome.response-bytes" => number(outcome.response_bytes),
            other => {
                if let Some(name) = other.strip_prefix("client.cert.") {
                    return self.client.certificate_fact(name);
                }
                let name = other.strip_prefix("api.variable.")?;
                let mut variables = self.route.as_ref()?.variables.iter();
                text(&variables.find(|(other, _)| **other == *name)?.1)
            }
        }
    }

    /// The value that the route's pattern bound to this name, as it is in the routed path: still
    /// percent-encoded.
    #[must_use]
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let names = &self.route.as_ref()?.params;
        let index = names.iter().position(|other| **other == *name)?;
        self.routed_target
            .path()
            .get(self.params.get(index)?.clone())
    }

    /// How long the client waits, if this is a call of gRPC that has a deadline.
    #[must_use]
    pub(crate) fn grpc_deadline(&self) -> Option<Duration> {
        let deadline = self.grpc.then(|| grpc::deadline(&self.request.headers));
        deadline.flatten()
    }

    /// When the head was complete. Unix time, milliseconds. However often it is asked for, and whatever becomes of the
    /// machine's clock, it is the same: a phase that runs again finds what it found before.
    #[must_use]
    pub(crate) fn arrived_ms(&self) -> u64 {
        self.outcome.arrival_time.unix_ms(self.arrived)
    }
}

/// The facts that belong to the host, by their attribute names, beside an API's stage variables.
pub(crate) const HOST_FACTS: [&str; 25] = [
    "client.ip",
    "client.port",
    "client.authority",
    "client.vpc-endpoint",
    "client.cert.subject",
    "client.cert.issuer",
    "client.cert.serial",
    "client.cert.fingerprint",
    "client.cert.san",
    "client.cert.not-before",
    "client.cert.not-after",
    "request.id",
    "request.time-ms",
    "route.id",
    "api.id",
    "api.stage",
    "api.base-path",
    "upstream.name",
    "upstream.endpoint",
    "outcome.failure",
    "outcome.status",
    "outcome.duration-us",
    "outcome.upstream-us",
    "outcome.request-bytes",
    "outcome.response-bytes",
];

/// Whether an attribute of this name is written by the host only.
#[must_use]
pub(crate) fn is_host_fact(name: &str) -> bool {
    [
        "client.",
        "route.",
        "request.",
        "api.",
        "upstream.",
        "outcome.",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

fn shared_text<S: Serializer>(text: &Arc<str>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(text)
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
