//! Stops 5 and 8: the filters of a route, in the operator's order.
//!
//! Before it comes `route/`, after it `upstream/`; on the way back the other way round. A chain is
//! data: a list of filters that other chains may hold too. Moving a word in the file makes another
//! list and compiles nothing.
//!
//! It promises
//! - request phases in the order of the list, response phases in reverse, and those only of
//!   filters whose request phase let the request pass;
//! - that `whole` holds the head back until the filter has seen the body, and that no later filter
//!   decides on a head that an earlier one may still rewrite;
//! - that a filter that fails is a refusal (`on_error = "deny"`) or as if it were not there
//!   (`"skip"`), and nothing else;
//! - that every response meets the response phases, those made by the gateway included.
//!
//! It deliberately does not know how a guest is called (that is `wasm/`), nor how an answer is
//! worded (that is `error`).

mod order;
mod pipe;
mod request;
mod response;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

pub use order::{Cause, Misorder, check_order};
pub use request::ChainIn;
pub use response::put_error;

use crate::context::Held;
use crate::error::{Code, RequestError, Style};
use crate::wasm::filter::OnError;
use crate::wasm::{Answer, CallFailure, Caller, Filter, Services};

/// The filters of a route.
#[derive(Debug, Default)]
pub struct Chain {
    filters: Box<[Arc<Filter>]>,
    has_response: bool,
    has_log: bool,
}

impl Chain {
    /// A chain of these filters.
    #[must_use]
    pub fn new(filters: Vec<Arc<Filter>>) -> Self {
        Self {
            has_response: filters.iter().any(|filter| filter.phases().response),
            has_log: filters.iter().any(|filter| filter.phases().log),
            filters: filters.into(),
        }
    }

    /// Its filters, in order.
    #[must_use]
    pub fn filters(&self) -> &[Arc<Filter>] {
        &self.filters
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether any filter looks at the response or at the end of the exchange, so that the
    /// request's head must be kept after it went upstream.
    #[must_use]
    pub fn keeps_request(&self) -> bool {
        self.has_response || self.has_log
    }
}

/// One exchange's way through its chain.
#[derive(Debug)]
pub struct Passage {
    chain: Rc<Chain>,
    worker: usize,
    services: Arc<Services>,
    style: Style,
    held: Held,
    /// Places whose request phase let the request pass, in order.
    entered: RefCell<SmallVec<[u16; 8]>>,
    /// How a filter ended the request's body while it went upstream.
    body_end: RefCell<Option<BodyEnd>>,
}

/// How a filter ended a request's body.
#[derive(Debug)]
pub enum BodyEnd {
    /// It answers with this.
    Answer(Refusal),
    /// It failed.
    Failed(RequestError),
}

/// An answer, and the filter that gave it.
#[derive(Debug)]
pub struct Refusal {
    /// The answer.
    pub answer: Answer,
    /// The filter's name.
    pub filter: Arc<str>,
}

impl Passage {
    /// The beginning of a way.
    #[must_use]
    pub fn new(
        chain: Rc<Chain>,
        worker: usize,
        services: Arc<Services>,
        style: Style,
        held: Held,
    ) -> Rc<Self> {
        Rc::new(Self {
            chain,
            worker,
            services,
            style,
            held,
            entered: RefCell::default(),
            body_end: RefCell::default(),
        })
    }

    /// How a filter ended the request's body while it went upstream, if one did. Once.
    pub fn take_body_end(&self) -> Option<BodyEnd> {
        self.body_end.take()
    }

    /// Whether any filter runs after the exchange.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.chain.has_log
    }

    /// Run the log phases. Failures are logged and counted, and change nothing.
    pub fn log(&self) {
        if !self.chain.has_log {
            return;
        }
        for (place, filter) in self.filters() {
            // What is looked at after the exchange is no trial of what happens during one.
            if filter.phases().log && !filter.is_suspended() {
                let exchange = self.held.take();
                let (exchange, _) = filter.on_log(self.caller(place), exchange);
                self.held.put(exchange);
            }
        }
    }

    fn filters(&self) -> impl DoubleEndedIterator<Item = (u16, &Arc<Filter>)> {
        self.chain
            .filters
            .iter()
            .enumerate()
            .map(|(place, filter)| (u16::try_from(place).unwrap_or(u16::MAX), filter))
    }

    fn filter(&self, place: u16) -> Option<&Arc<Filter>> {
        self.chain.filters.get(usize::from(place))
    }

    fn caller(&self, place: u16) -> Caller<'_> {
        Caller {
            worker: self.worker,
            place,
            services: &self.services,
        }
    }
}

/// What a failure means for the request: an error, or (`skip`) nothing.
fn decide(filter: &Filter, failure: CallFailure) -> Result<(), RequestError> {
    if filter.on_error() == OnError::Skip {
        return Ok(());
    }
    let code = match failure {
        CallFailure::Suspended => Code::FilterSuspended,
        CallFailure::MissingAttribute(_) => Code::MissingAttribute,
        CallFailure::Cpu(_)
        | CallFailure::Overdrawn(_)
        | CallFailure::Memory { .. }
        | CallFailure::Trap { .. }
        | CallFailure::Verdict(_)
        | CallFailure::Upstream(_) => Code::FilterFailed,
    };
    Err(RequestError::caused(code, failure).in_filter(filter.name().clone()))
}
