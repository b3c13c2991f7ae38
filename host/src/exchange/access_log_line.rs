//! The access log's line about an exchange that has ended.
//!
//! It never has the query (clients send keys there), fields of the request, or bodies.

use std::num::NonZeroU64;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::{
    AttemptOutcome, AttributeValue, Attributes, Exchange, RejectedKey, RejectedToken, micros,
};

/// One line.
#[derive(Serialize)]
pub(crate) struct AccessLogLine<'a> {
    #[serde(serialize_with = "time")]
    time: SystemTime,
    request: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    client: std::net::IpAddr,
    method: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    route: Option<&'a str>,
    api: Option<&'a str>,
    status: Option<u16>,
    duration_us: u64,
    upstream: Option<&'a str>,
    endpoint: Option<&'a str>,
    upstream_us: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'a [AttemptOutcome],
    request_bytes: u64,
    response_bytes: u64,
    failure: Option<&'a str>,
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_rejected: Option<&'a RejectedKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_rejected: Option<&'a RejectedToken>,
    #[serde(serialize_with = "attributes", skip_serializing_if = "is_none")]
    attributes: &'a Attributes,
}

impl<'a> AccessLogLine<'a> {
    pub(crate) fn of(exchange: &'a Exchange) -> Self {
        let outcome = &exchange.outcome;
        let route = exchange.route.as_deref();
        let host = exchange.request.headers.get(http::header::HOST);
        Self {
            time: SystemTime::now(),
            request: exchange.id.as_str(),
            traceparent: exchange
                .trace
                .as_ref()
                .and_then(|trace| trace.to_str().ok()),
            client: exchange.client.ip,
            method: exchange.request.method.as_str(),
            host: host.and_then(|host| host.to_str().ok()),
            path: exchange.original_target.path(),
            route: route.map(|route| &*route.name),
            api: route.and_then(|route| route.api.as_deref()),
            status: exchange
                .response
                .as_ref()
                .map(|response| response.status.as_u16()),
            duration_us: micros(exchange.arrived.elapsed()),
            upstream: outcome.upstream.as_deref(),
            endpoint: outcome.endpoint.as_deref(),
            upstream_us: outcome.upstream_us.map(NonZeroU64::get),
            attempts: &outcome.attempts,
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            failure: outcome.failure.as_deref(),
            filter: outcome.filter.as_deref(),
            key_rejected: outcome.rejection(),
            token_rejected: outcome.token_rejection(),
            attributes: &exchange.attributes,
        }
    }
}

fn time<S: Serializer>(time: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(attributes: &&Attributes) -> bool {
    attributes.iter().next().is_none()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn attributes<S: Serializer>(attributes: &&Attributes, out: S) -> Result<S::Ok, S::Error> {
    let facts = attributes.iter();
    out.collect_map(facts.filter(|(_, value)| !matches!(value, AttributeValue::Bytes(_))))
}
