//! The outcome of an exchange.

use std::fmt;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

use super::lines::LogEvent;
use crate::exchange::ExchangeCell;

/// The outcome of an exchange.
#[derive(Debug)]
pub(super) struct ExchangeResult {
    /// The exchange after it: its attributes, notes and hint.
    pub(super) exchange: ExchangeCell,
    /// The request as it reached the endpoint; none if it did not.
    pub(super) request: Option<SeenRequest>,
    pub(super) response: SeenResponse,
    /// The filter's own response, if it gave one.
    pub(super) refusal: Option<SeenRefusal>,
    /// The first failure: its kind and its text.
    pub(super) failure: Option<(String, String)>,
    /// The log lines of the filter.
    pub(super) lines: Vec<LogEvent>,
}

/// A request at the endpoint.
#[derive(Debug)]
pub(super) struct SeenRequest {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

/// A response at the client.
#[derive(Debug, Default)]
pub(super) struct SeenResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
    /// Whether it broke off.
    pub(super) cut: bool,
}

/// A filter's own response.
#[derive(Debug, Clone)]
pub(super) struct SeenRefusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How an exchange ended, without what differs from one to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    reached: bool,
    status: StatusCode,
    code: Option<String>,
    failure: Option<String>,
    cut: bool,
}

impl ExchangeResult {
    pub(super) fn ending(&self) -> Ending {
        Ending {
            reached: self.request.is_some(),
            status: self.response.status,
            code: self.refusal.as_ref().map(|refusal| refusal.code.clone()),
            failure: self.failure.as_ref().map(|(kind, _)| kind.clone()),
            cut: self.response.cut,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.as_u16();
        match (&self.failure, &self.code) {
            (Some(kind), _) => write!(f, "a failure ({kind}), and the client got {status}")?,
            (None, Some(code)) => write!(f, "the filter's response {status} `{code}`")?,
            (None, None) => write!(f, "the response {status}")?,
        }
        if !self.reached {
            f.write_str(", and the request did not reach the endpoint")?;
        }
        if self.cut {
            f.write_str(", and the response broke off")?;
        }
        Ok(())
    }
}
