//! The cost of a filter's calls: whole exchanges through a chain of this one filter, as the gateway runs them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::runtime::Builder;

use super::sample::Sample;
use crate::chain::{Chain, ChainEnd, Passage};
use crate::error::{Causes, ErrorFormat};
use crate::exchange::{ExchangeCell, RouteInfo};
use crate::http::body::Body;
use crate::model::head::ResponseHead;
use crate::wasm::engine::MemoryBudget;
use crate::wasm::{Filter, Services, WorkerFilter};

/// Exchanges before the first that is timed.
const WARM_UP: u64 = 200;

/// The most exchanges that are timed.
const MOST: usize = 5_000;

/// How long exchanges are timed.
const TIME: Duration = Duration::from_secs(1);

/// The cost of an exchange.
#[derive(Debug, Default)]
pub(super) struct CallCost {
    /// All phases of an exchange together: the median.
    pub(super) median: Duration,
    /// The time that 99 of 100 exchanges do not exceed.
    pub(super) p99: Duration,
    /// The exchanges that were timed.
    pub(super) exchanges: usize,
    /// How the exchange ended.
    pub(super) outcome: String,
    /// The growth of memory. Bytes an exchange.
    pub(super) growth: u64,
    /// Whether it failed, so that nothing was timed.
    pub(super) has_failed: bool,
}

/// Sends the sample through the filter until the time is up.
pub(super) fn measure(
    filter: &Arc<Filter>,
    services: &Arc<Services>,
    memory: &MemoryBudget,
    sample: &Sample,
) -> CallCost {
    let runtime = match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return CallCost::failed(format!("the system gives no timer: {error}")),
    };
    let chain = Chain::new(
        vec![WorkerFilter::for_worker(filter, 0)],
        Arc::clone(services),
        Arc::new(ErrorFormat::default()),
    );
    let lane = Lane {
        chain: Rc::new(chain),
        route: Arc::new(RouteInfo::default()),
        sample,
    };
    runtime.block_on(lane.measure(memory))
}

impl CallCost {
    fn failed(outcome: String) -> Self {
        Self {
            outcome,
            has_failed: true,
            ..Self::default()
        }
    }
}

struct Lane<'a> {
    chain: Rc<Chain>,
    route: Arc<RouteInfo>,
    sample: &'a Sample,
}

impl Lane<'_> {
    async fn measure(&self, memory: &MemoryBudget) -> CallCost {
        let mut outcome = String::new();
        for number in 0..WARM_UP {
            match self.pass(number).await {
                Ok((_, ended)) => outcome = ended,
                Err(failure) => return CallCost::failed(failure),
            }
        }
        let used = memory.used();
        let start = Instant::now();
        let mut times = Vec::with_capacity(MOST);
        while times.len() < MOST && start.elapsed() < TIME {
            match self.pass(times.len() as u64).await {
                Ok((time, _)) => times.push(time),
                Err(failure) => return CallCost::failed(failure),
            }
        }
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        let grown = memory.used().saturating_sub(used);
        CallCost {
            median: at(times.len() / 2),
            p99: at(times.len().saturating_mul(99) / 100),
            exchanges: times.len(),
            outcome,
            growth: grown / (times.len() as u64).max(1),
            has_failed: false,
        }
    }

    /// One exchange: its time, and how it ended.
    async fn pass(&self, number: u64) -> Result<(Duration, String), String> {
        let mut exchange = self.sample.exchange(number);
        exchange.route = Some(Arc::clone(&self.route));
        let cell = ExchangeCell::new(exchange);
        let start = Instant::now();
        let passage = Passage::new(Rc::clone(&self.chain), cell.clone());
        let outcome = self.carry(&passage, &cell).await;
        passage.log().await;
        let time = start.elapsed();
        outcome.map(|outcome| (time, outcome))
    }

    async fn carry(&self, passage: &Rc<Passage>, cell: &ExchangeCell) -> Result<String, String> {
        let mut body = self.sample.body();
        let passed = passage.request(&mut body).await;
        let (response, is_refusal, outcome) = match passed {
            Ok(()) => match drain(passage, body).await {
                None => {
                    cell.with(|exchange| {
                        exchange.response = Some(ResponseHead {
                            status: StatusCode::OK,
                            headers: HeaderMap::new(),
                        });
                    });
                    let body = Body::full(Bytes::from_static(b"done\n"));
                    (body, false, "passed".to_owned())
                }
                Some(end) => refused(passage, end)?,
            },
            Err(end) => refused(passage, end)?,
        };
        let body = passage.response(response, is_refusal).await;
        match drain(passage, body).await {
            Some(ChainEnd::Failed(error)) => Err(Causes(&error).to_string()),
            Some(ChainEnd::Answer(_)) | None => failure(cell).map_or(Ok(outcome), Err),
        }
    }
}

/// A failure of the response phases is an outcome, and ends no passage.
fn failure(cell: &ExchangeCell) -> Option<String> {
    cell.with(|exchange| {
        let status = exchange.response.as_ref()?.status;
        let code = exchange.outcome.failure.as_ref()?;
        let is_fault = status.is_server_error() && &**code == "filter_failed";
        is_fault.then(|| "its response phase failed".to_owned())
    })
}

/// The filter answers in place of the endpoint.
fn refused(passage: &Rc<Passage>, end: ChainEnd) -> Result<(Body, bool, String), String> {
    match end {
        ChainEnd::Answer(refusal) => {
            let outcome = format!(
                "refused: {} `{}`",
                refusal.answer.status.as_u16(),
                refusal.answer.reason
            );
            Ok((passage.put_refusal(refusal), true, outcome))
        }
        ChainEnd::Failed(error) => Err(Causes(&error).to_string()),
    }
}

/// Pulls a body to its end, as a connection does. Gives how a filter ended it, if one did.
async fn drain(passage: &Passage, mut body: Body) -> Option<ChainEnd> {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            break;
        }
    }
    passage.take_body_end()
}
