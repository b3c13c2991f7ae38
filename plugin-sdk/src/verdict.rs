//! Shorthands for the verdicts of the contract, and for the responses that they carry.

use crate::{BodyMode, ChunkVerdict, LocalResponse, RequestVerdict, ResponseVerdict, RouteHint};

impl RequestVerdict {
    /// Go on with the chain; the body never enters the filter.
    pub const NEXT: Self = Self::Next(BodyMode::Skip);
}

impl ResponseVerdict {
    /// Go on with the chain; the body never enters the filter.
    pub const NEXT: Self = Self::Next(BodyMode::Skip);
}

impl From<LocalResponse> for RequestVerdict {
    fn from(response: LocalResponse) -> Self {
        Self::Respond(response)
    }
}

impl From<RouteHint> for RequestVerdict {
    fn from(hint: RouteHint) -> Self {
        Self::Route((hint, BodyMode::Skip))
    }
}

impl From<LocalResponse> for ResponseVerdict {
    fn from(response: LocalResponse) -> Self {
        Self::Replace(response)
    }
}

impl From<LocalResponse> for ChunkVerdict {
    fn from(response: LocalResponse) -> Self {
        Self::Respond(response)
    }
}

impl LocalResponse {
    /// A response with this status (200 to 599) and this reason, a short stable word in
    /// `snake_case` for logs and metrics. If the status is 400 or more and the body is empty, the
    /// gateway writes a body in the error style of the API, with the reason as its code.
    #[must_use]
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            reason: reason.into(),
        }
    }

    /// Adds a field. Framing fields (`content-length`, ...) belong to the gateway: naming one fails
    /// the phase.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl RouteHint {
    /// A hint without any preference.
    #[must_use]
    pub fn new() -> Self {
        Self {
            upstream: None,
            labels: Vec::new(),
            affinity: None,
            timeout_ms: None,
        }
    }

    /// Sends the request to this upstream. It must be granted: `allow = { upstreams = [..] }`.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<String>) -> Self {
        self.upstream = Some(name.into());
        self
    }

    /// Uses only endpoints with this label; with several labels, only endpoints that have all of
    /// them.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Sends requests with the same key to the same endpoint while that exists.
    #[must_use]
    pub fn affinity(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.affinity = Some(key.into());
        self
    }

    /// Lowers the upstream's first-byte time-out; never raises it.
    #[must_use]
    pub fn timeout(mut self, timeout: core::time::Duration) -> Self {
        self.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }
}

impl Default for RouteHint {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_the_verdict_of_each_phase() {
        let answer = || {
            LocalResponse::new(429, "throttled")
                .header("retry-after", "1")
                .body("slow down")
        };
        assert!(matches!(
            RequestVerdict::from(answer()),
            RequestVerdict::Respond(response)
                if response.status == 429
                    && response.reason == "throttled"
                    && response.headers == [("retry-after".to_owned(), b"1".to_vec())]
                    && response.body == b"slow down"
        ));
        assert!(matches!(
            ResponseVerdict::from(answer()),
            ResponseVerdict::Replace(_)
        ));
        assert!(matches!(
            ChunkVerdict::from(answer()),
            ChunkVerdict::Respond(_)
        ));
    }

    #[test]
    fn a_hint_keeps_every_part() {
        let hint = RouteHint::new()
            .upstream("orders")
            .label("zone", "a")
            .affinity("acme")
            .timeout(core::time::Duration::from_secs(2));
        assert_eq!(hint.upstream.as_deref(), Some("orders"));
        assert_eq!(hint.labels, [("zone".to_owned(), "a".to_owned())]);
        assert_eq!(hint.affinity.as_deref(), Some(b"acme".as_slice()));
        assert_eq!(hint.timeout_ms, Some(2_000));
    }
}
