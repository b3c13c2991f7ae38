//! Charges the rates that requests share, of the route and of the gateway, for a request that no filter
//! charged. A filter that charges a usage plan charges them in the same step.

use http::{HeaderName, HeaderValue, header};

use crate::error::{Code, RequestError};
use crate::exchange::{Exchange, RouteInfo};
use crate::limits::{BoundKind, Decision, Level, NEVER_MS, TakeRequest};
use crate::runtime::clock::Timestamp;
use crate::wasm::Services;

/// The remaining requests (draft-ietf-httpapi-ratelimit-headers).
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limit (draft-ietf-httpapi-ratelimit-headers).
static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The largest integer of a structured field (RFC 9651, section 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// Charge the rates of the exchange's route and of the gateway, unless a filter did.
///
/// # Errors
///
/// One of them is used up for now.
pub(crate) fn take(
    services: &Services,
    route: &RouteInfo,
    exchange: &mut Exchange,
) -> Result<(), RequestError> {
    if exchange.tickets.has_shared() {
        return Ok(());
    }
    let decision = services.limits.take(&TakeRequest {
        plan: None,
        key: "",
        method: None,
        route: route.rates.route.as_ref(),
        gateway: route.rates.gateway.as_ref(),
        cost: 1,
        now: Timestamp::now(),
    });
    match decision.refused_by {
        None => {
            exchange.tickets.keep_shared();
            Ok(())
        }
        Some(bound) => Err(throttled(bound, &decision)),
    }
}

/// Add the fields that say when to retry, and how many requests are allowed.
fn throttled(bound: BoundKind, decision: &Decision) -> RequestError {
    let mut error = RequestError::from(Code::Throttled);
    if decision.retry_after_ms != NEVER_MS {
        let wait = seconds(decision.retry_after_ms).max(1);
        error = error.with_header(header::RETRY_AFTER, wait.into());
    }
    let name = match bound {
        BoundKind::Route => "route",
        BoundKind::Gateway => "gateway",
        // Not asked for here.
        BoundKind::Method | BoundKind::Plan | BoundKind::Quota | BoundKind::Unavailable => {
            return error;
        }
    };
    let Some(level) = decision.shared else {
        return error;
    };
    for (field, value) in [
        (&RATELIMIT_POLICY, policy(name, &level)),
        (&RATELIMIT, left(name, &level)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            error = error.with_header(field.clone(), value);
        }
    }
    error
}

fn policy(name: &str, level: &Level) -> String {
    let limit = level.limit.min(LARGEST);
    match level.window_ms {
        // A made-up number would be believed.
        NEVER_MS => format!("\"{name}\";q={limit}"),
        window_ms => format!("\"{name}\";q={limit};w={}", seconds(window_ms).max(1)),
    }
}

fn left(name: &str, level: &Level) -> String {
    let remaining = level.remaining.min(LARGEST);
    match level.reset_ms {
        NEVER_MS => format!("\"{name}\";r={remaining}"),
        reset_ms => format!("\"{name}\";r={remaining};t={}", seconds(reset_ms)),
    }
}

/// Whole seconds, rounded up.
fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1000).min(LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_when_to_come_again() {
        let level = Level {
            limit: 10,
            remaining: 0,
            window_ms: 2000,
            reset_ms: 1999,
        };
        let decision = Decision {
            allowed: false,
            refused_by: Some(BoundKind::Route),
            retry_after_ms: 199,
            rate: None,
            quota: None,
            shared: Some(level),
            ticket: None,
            pending: false,
            lacks_room: false,
        };
        let error = throttled(BoundKind::Route, &decision);
        assert_eq!(error.code(), Code::Throttled);
        let headers = error.headers();
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(headers["ratelimit-policy"], "\"route\";q=10;w=2");
        assert_eq!(headers["ratelimit"], "\"route\";r=0;t=2");
    }
}
