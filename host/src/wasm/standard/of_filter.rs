//! A filter that is a handler: its breaker, its counts and its bounds around one call.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::Request;
use wasmtime_wasi_http::WasiBody;

use super::call::{HandlerCall, HandlerRequest};
use crate::model::request_id::RequestId;
use crate::runtime::clock::monotonic_ns;
use crate::wasm::breaker::Permit;
use crate::wasm::failure::CallFailure;
use crate::wasm::filter::Filter;
use crate::wasm::services::Services;

/// A call of a filter's handler, which counts how it ends.
pub(crate) struct FilterHandlerCall {
    pub(crate) call: HandlerCall,
    filter: Arc<Filter>,
    worker: usize,
    permit: Permit,
    id: RequestId,
}

impl Filter {
    /// Start its handler for a request.
    ///
    /// # Errors
    ///
    /// It has none, or it is suspended.
    pub(crate) fn start_handler(
        self: &Arc<Self>,
        worker: usize,
        id: RequestId,
        request: Request<WasiBody>,
        is_https: bool,
        services: &Arc<Services>,
        passed: Arc<AtomicU64>,
    ) -> Result<FilterHandlerCall, CallFailure> {
        let Some(handler) = &self.handler else {
            return Err(CallFailure::Verdict("it has no handler".into()));
        };
        let permit = self.breaker.permit(monotonic_ns);
        if permit == Permit::Suspended {
            self.count(worker, |figures| &figures.suspended, 1);
            return Err(CallFailure::Suspended);
        }
        self.count(worker, |figures| &figures.calls, 1);
        let call = handler.start(HandlerRequest {
            filter: Arc::clone(self.name()),
            request,
            is_https,
            services: Arc::clone(services),
            grants: Arc::clone(&self.source.grants),
            bounds: self.source.bounds,
            budget: Arc::clone(&self.source.engine.budget),
            id: id.clone(),
            lines: Arc::clone(&self.source.debug_lines),
            passed,
        });
        Ok(FilterHandlerCall {
            call,
            filter: Arc::clone(self),
            worker,
            permit,
            id,
        })
    }
}

impl FilterHandlerCall {
    /// It did what it was to do.
    pub(crate) fn succeeded(&self) {
        let _ = self.filter.record_success(self.permit);
    }

    /// It answered the client itself.
    pub(crate) fn answered(&self) {
        self.succeeded();
        self.filter
            .count(self.worker, |figures| &figures.answers, 1);
    }

    /// It failed.
    pub(crate) fn failed(&self, failure: &CallFailure) {
        self.filter
            .failed(self.worker, self.permit, Some(&self.id), failure);
    }

    /// The filter.
    #[must_use]
    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }
}
