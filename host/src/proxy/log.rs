//! Logs exchanges that failed.
//!
//! A fault of the gateway or of an upstream is logged for the operator; a fault of the client is logged
//! at DEBUG only. Each code is logged at most a few times a second, and the next line says how many
//! were left out.

use std::fmt;

use crate::error::{Causes, Code, RequestError, Side};
use crate::exchange::{Exchange, RejectedKey};
use crate::http::body_error::BodyError;
use crate::model::word::Word as _;
use crate::proxy::worker::Worker;

/// Log a request that is answered with this error.
pub(super) fn log_refused(worker: &Worker, exchange: &Exchange, error: &RequestError) {
    // The call of a filter logs the filter's own faults.
    let quietly = error.side() == Side::Gateway && error.filter().is_some();
    write_line(worker, exchange, error.code(), quietly, &Causes(error));
}

/// Log a response that breaks off after its head.
pub(super) fn log_broken_off(worker: &Worker, exchange: &Exchange, error: &BodyError) {
    let cause = Causes(error);
    // A filter ended it, or it is a tunnel, which either side may end at any time.
    let quietly = matches!(
        error,
        BodyError::Ended | BodyError::TunnelIdle | BodyError::TunnelBroken(_)
    );
    match &exchange.outcome.endpoint {
        Some(endpoint) => {
            let cause = format_args!("the answer of `{endpoint}` was cut: {cause}");
            write_line(worker, exchange, error.code(), quietly, &cause);
        }
        None => write_line(worker, exchange, error.code(), quietly, &cause),
    }
}

/// Log the reason why a filter rejected the request's API key.
pub(super) fn log_rejected_key(worker: &Worker, exchange: &Exchange, rejected: &RejectedKey) {
    let Some(left_out) = worker.should_log_key(rejected.why) else {
        return;
    };
    let left_out = (left_out > 0).then_some(left_out);
    let (key, plan) = (rejected.key.as_deref(), rejected.plan.as_deref());
    tracing::info!(
        request = exchange.id.as_str(),
        filter = exchange.outcome.filter.as_deref(),
        why = rejected.why.word(),
        key,
        plan,
        left_out,
        "{}",
        rejected.why.sentence()
    );
}

fn write_line(
    worker: &Worker,
    exchange: &Exchange,
    code: Code,
    quietly: bool,
    cause: &dyn fmt::Display,
) {
    let request = exchange.id.as_str();
    let name = code.as_str();
    if quietly || code.side() == Side::Client {
        tracing::debug!(request, code = name, "{cause}");
        return;
    }
    if let Some(left_out) = worker.should_log(code) {
        let left_out = (left_out > 0).then_some(left_out);
        tracing::warn!(request, code = name, left_out, "{cause}");
    }
}
