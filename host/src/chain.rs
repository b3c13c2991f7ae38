//! Stops 5 and 8: the filters of a route, in the operator's order.
//!
//! `route/` comes before, `upstream/` after; on the way back the other way round. A chain is a list of
//! filters, which other chains may share. Moving a word in the file makes another list and compiles
//! nothing.
//!
//! It promises
//! - that request phases run in the order of the list, and response phases in reverse, those only of
//!   filters whose request phase let the request pass;
//! - that `whole` delays the head until the filter has seen the body, and that no later filter decides
//!   on a head that an earlier one may still rewrite;
//! - that a filter that fails refuses the request (`on_error = "deny"`), or has no effect (`"skip"`);
//! - that every response goes through the response phases, those that the gateway makes included;
//! - that no trailer of a request replaces a field that its filters read, set or removed in the head.
//!
//! `wasm/` calls the guests, and `error` words the responses.

mod handler;
mod order;
mod pipe;
mod request;
pub(crate) mod rerun;
mod response;
mod response_edits;
mod trailers;
mod whole_body;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use handler::RunningHandler;
use http::HeaderName;
use http::header::RETRY_AFTER;
use smallvec::SmallVec;

pub(crate) use order::{MissingAttributeCause, OrderViolation, OrderedFilter, check_order};
pub(crate) use response::put_error;

use crate::error::{Code, ErrorFormat, RequestError};
use crate::exchange::{Exchange, ExchangeCell};
use crate::http::body_error::BodyError;
use crate::model::filter::OnError;
use crate::wasm::component::Phases;
use crate::wasm::{
    CallContext, CallFailure, CheckOutError, CheckedOut, Filter, FilterResponse, PhaseResult,
    Services, WorkerFilter,
};

/// The filters of a route, as one worker uses them.
#[derive(Debug)]
pub struct Chain {
    worker_filters: Box<[Rc<WorkerFilter>]>,
    services: Arc<Services>,
    words: Arc<ErrorFormat>,
    has_response: bool,
    has_response_edits: bool,
    has_log: bool,
    /// Fields that its filters read, set or remove in the head of a request: its trailers hold none.
    head_fields: Box<[HeaderName]>,
}

impl Chain {
    /// A chain of these filters, in this order. Their host interfaces use `services`; `words` is the format
    /// of the route's errors.
    #[must_use]
    pub(crate) fn new(
        worker_filters: Vec<Rc<WorkerFilter>>,
        services: Arc<Services>,
        words: Arc<ErrorFormat>,
    ) -> Self {
        let filters = || {
            worker_filters
                .iter()
                .map(|worker_filter| worker_filter.filter())
        };
        let has = |phase: fn(&Phases) -> bool| filters().any(|filter| phase(&filter.phases()));
        let edits = |filter: &Arc<Filter>| !filter.facts().advice.response_edits.is_empty();
        Self {
            has_response_edits: filters().any(edits),
            has_response: has(|phases| phases.response) || filters().any(|one| one.is_handler()),
            has_log: has(|phases| phases.log),
            head_fields: trailers::head_fields(filters()),
            worker_filters: worker_filters.into(),
            services,
            words,
        }
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.worker_filters.is_empty()
    }

    /// Whether a filter has a response or log phase, so that the request's head must be kept after it went
    /// upstream.
    #[must_use]
    pub fn keeps_request(&self) -> bool {
        self.has_response || self.has_log
    }
}

/// One exchange's way through its chain.
#[derive(Debug)]
pub struct Passage {
    chain: Rc<Chain>,
    exchange: ExchangeCell,
    /// Positions of the filters whose request phase let the request pass, in order.
    entered: RefCell<SmallVec<[u16; 8]>>,
    /// The handlers that the request passed.
    handlers: RefCell<Vec<RunningHandler>>,
    /// How a filter ended a body on its way.
    body_end: RefCell<Option<Box<ChainEnd>>>,
}

/// How a filter ended a message's way through its chain.
#[derive(Debug)]
pub enum ChainEnd {
    /// It responds.
    Answer(Refusal),
    Failed(RequestError),
}

impl ChainEnd {
    fn answer(filter: &Filter, answer: Box<FilterResponse>) -> Self {
        let filter = filter.name().clone();
        Self::Answer(Refusal { answer, filter })
    }
}

impl From<RequestError> for ChainEnd {
    fn from(error: RequestError) -> Self {
        Self::Failed(error)
    }
}

/// A response, and the filter that gave it.
#[derive(Debug)]
pub struct Refusal {
    pub(crate) answer: Box<FilterResponse>,
    /// The filter's name.
    pub(crate) filter: Arc<str>,
}

impl Passage {
    /// The start of an exchange's way.
    #[must_use]
    pub fn new(chain: Rc<Chain>, exchange: ExchangeCell) -> Rc<Self> {
        Rc::new(Self {
            chain,
            exchange,
            entered: RefCell::default(),
            handlers: RefCell::default(),
            body_end: RefCell::default(),
        })
    }

    fn words(&self) -> &ErrorFormat {
        &self.chain.words
    }

    /// How a filter ended a body on its way, the request's or the response's, if one did. Once.
    pub(crate) fn take_body_end(&self) -> Option<ChainEnd> {
        self.body_end.take().map(|end| *end)
    }

    /// End a body on its way.
    fn end_body(&self, end: ChainEnd) -> BodyError {
        *self.body_end.borrow_mut() = Some(Box::new(end));
        BodyError::Ended
    }

    /// Whether any filter runs after the exchange.
    #[must_use]
    pub(crate) fn has_log(&self) -> bool {
        self.chain.has_log
    }

    /// Run the log phases. Failures are logged and counted, and change nothing.
    pub(crate) async fn log(&self) {
        if !self.chain.has_log {
            return;
        }
        for (position, worker_filter) in self.worker_filters() {
            let filter = worker_filter.filter();
            // A log phase is not used to probe a filter whose breaker was open.
            if !filter.phases().log || filter.is_suspended() {
                continue;
            }
            let caller = self.call_context(position, worker_filter);
            // A failure was logged and counted.
            let _ = match worker_filter.check_out() {
                Ok(out) => self.call(caller, out, Filter::on_log),
                Err(not_now) => {
                    let on_fiber = Filter::on_log_on_fiber;
                    Box::pin(self.call_when_ready(caller, not_now, Filter::on_log, on_fiber)).await
                }
            };
        }
    }

    /// Call a phase that ends at once.
    #[inline]
    fn call<V>(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        phase: impl FnOnce(&Filter, CallContext<'_>, CheckedOut, Box<Exchange>) -> PhaseResult<V>,
    ) -> Result<V, CallFailure> {
        let filter = caller.worker_filter.filter();
        let (exchange, result) = phase(filter, caller, out, self.exchange.take());
        self.exchange.put(exchange);
        result
    }

    /// Call a phase once there is an instance: on a fiber, if the filter's calls run on one.
    async fn call_when_ready<V>(
        &self,
        caller: CallContext<'_>,
        not_now: CheckOutError,
        phase: impl FnOnce(&Filter, CallContext<'_>, CheckedOut, Box<Exchange>) -> PhaseResult<V>,
        on_fiber: impl AsyncFnOnce(
            &Filter,
            CallContext<'_>,
            CheckedOut,
            &ExchangeCell,
        ) -> Result<V, CallFailure>,
    ) -> Result<V, CallFailure> {
        let worker_filter = caller.worker_filter;
        let out = worker_filter.wait_if_busy(not_now).await?;
        if worker_filter.runs_on_fiber() {
            return on_fiber(worker_filter.filter(), caller, out, &self.exchange).await;
        }
        self.call(caller, out, phase)
    }

    /// An attribute that a filter requires and that was not set before it.
    fn missing_attribute(&self, filter: &Filter) -> Option<CallFailure> {
        if filter.facts().requires.is_empty() {
            return None;
        }
        let missing = self
            .exchange
            .with(|exchange| filter.missing_attribute(exchange));
        missing.map(CallFailure::MissingAttribute)
    }

    /// The worker's filters, with their positions in the chain.
    fn worker_filters(&self) -> impl DoubleEndedIterator<Item = (u16, &Rc<WorkerFilter>)> {
        self.chain
            .worker_filters
            .iter()
            .enumerate()
            .map(|(position, worker_filter)| {
                (u16::try_from(position).unwrap_or(u16::MAX), worker_filter)
            })
    }

    fn worker_filter(&self, position: u16) -> Option<&Rc<WorkerFilter>> {
        self.chain.worker_filters.get(usize::from(position))
    }

    fn call_context<'a>(
        &'a self,
        position: u16,
        worker_filter: &'a WorkerFilter,
    ) -> CallContext<'a> {
        CallContext {
            worker_filter,
            position,
            services: &self.chain.services,
            may_rerun: false,
            shows_body: false,
        }
    }
}

/// The effect of a failure on the request: an error, or with `skip` none.
fn decide(filter: &Filter, failure: CallFailure) -> Result<(), RequestError> {
    // If keys cannot be checked, the filter is never skipped: a revoked key would be accepted.
    let of_keys = matches!(failure, CallFailure::Keys(_) | CallFailure::TokenKeys(_));
    if filter.on_error() == OnError::Skip && !of_keys {
        return Ok(());
    }
    let code = match failure {
        CallFailure::Suspended => Code::FilterSuspended,
        CallFailure::Busy(_) | CallFailure::QueueFull(_) => Code::FilterBusy,
        CallFailure::Keys(_) | CallFailure::TokenKeys(_) => Code::KeysUnavailable,
        CallFailure::MissingAttribute(_) => Code::MissingAttribute,
        CallFailure::Cpu { .. }
        | CallFailure::Overdrawn { .. }
        | CallFailure::Share(_)
        | CallFailure::NewerKeys(_)
        | CallFailure::Callout(_)
        | CallFailure::Memory { .. }
        | CallFailure::Stack { .. }
        | CallFailure::Trap { .. }
        | CallFailure::HostPanic(_)
        | CallFailure::Verdict(_)
        | CallFailure::Reported(_)
        | CallFailure::NoRoom(_)
        | CallFailure::Upstream(_) => Code::FilterFailed,
    };
    // Whole seconds, rounded up.
    let wait = match code {
        Code::FilterSuspended => Some(filter.suspended_for().as_millis().div_ceil(1000).max(1)),
        Code::FilterBusy => Some(1),
        _ => None,
    };
    let mut error = RequestError::with_source(code, failure).in_filter(filter.name().clone());
    if let Some(seconds) = wait {
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        error = error.with_header(RETRY_AFTER, seconds.into());
    }
    Err(error)
}
