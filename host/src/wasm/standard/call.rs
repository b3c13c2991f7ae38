//! One exchange of a standard component: a task on the worker's thread that runs its handler.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _};

use super::HandlerComponent;
use super::egress::Egress;
use super::log::LogStreams;
use super::state::HandlerState;
use crate::model::request_id::RequestId;
use crate::wasm::bounds::FilterBounds;
use crate::wasm::cpu::CpuLimit;
use crate::wasm::debug_lines::DebugLines;
use crate::wasm::engine::MemoryBudget;
use crate::wasm::failure::CallFailure;
use crate::wasm::grants::Grants;
use crate::wasm::guest_trace::GuestTrace;
use crate::wasm::memory::MemoryAccount;
use crate::wasm::output::Output;
use crate::wasm::services::Services;

/// How long a handler may take until it sends the request on or answers, and from the response to
/// its answer. It may wait for the client, a callout or a timer meanwhile.
const DECISION: Duration = Duration::from_secs(60);

/// The request for a handler, and the filter's bounds.
pub(crate) struct HandlerRequest {
    pub(crate) filter: Arc<str>,
    pub(crate) request: Request<WasiBody>,
    pub(crate) is_https: bool,
    pub(crate) services: Arc<Services>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) bounds: FilterBounds,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) id: RequestId,
    /// The lines of the component's source.
    pub(crate) lines: Arc<DebugLines>,
    /// Bytes of bodies that pass, counted by the caller.
    pub(crate) passed: Arc<AtomicU64>,
}

/// A request that goes on through the chain.
pub(crate) struct Continuation {
    pub(crate) request: Request<WasiBody>,
    /// Takes the response.
    pub(crate) respond: oneshot::Sender<Response<WasiBody>>,
}

/// What a handler does.
pub(crate) enum HandlerEvent {
    /// It sends the request on.
    GoesOn(Continuation),
    /// It answers.
    Answers(Response<WasiBody>),
}

/// A handler that runs. Dropped, it is ended.
pub(crate) struct HandlerCall {
    task: JoinHandle<Result<(), CallFailure>>,
    continuation: Option<oneshot::Receiver<Continuation>>,
    answer: oneshot::Receiver<Result<Response<WasiBody>, ErrorCode>>,
    has_failed: Arc<AtomicBool>,
}

impl HandlerComponent {
    /// Run the handler on the current runtime.
    pub(crate) fn start(&self, call: HandlerRequest) -> HandlerCall {
        let (continuation, continues) = oneshot::channel();
        let (answers, answer) = oneshot::channel();
        let authority = call.request.uri().authority();
        let output = Arc::new(Mutex::new(Output::new(Arc::clone(&call.filter))));
        let egress = Egress {
            filter: call.filter,
            authority: authority.map(ToString::to_string).unwrap_or_default(),
            continuation: Some(continuation),
            services: call.services,
            grants: call.grants,
        };
        let memory = MemoryAccount::new(call.bounds.memory, call.budget);
        let mut cpu = CpuLimit::new(call.bounds.start_cpu, self.tick());
        let slice = cpu.arm_on_fiber(call.bounds.start_cpu);
        let state = HandlerState::new(
            &self.environment,
            LogStreams::of(&output, &call.id),
            egress,
            memory,
            cpu,
            call.bounds,
            call.passed,
        );
        let pre = self.pre.clone();
        let (id, lines) = (call.id, call.lines);
        let has_failed = Arc::new(AtomicBool::new(false));
        let (failing, request, is_https) = (Arc::clone(&has_failed), call.request, call.is_https);
        let task = tokio::spawn(async move {
            let mut store = Store::new(pre.engine(), state);
            HandlerState::limit(&mut store);
            let result = {
                let mut running = pin!(async {
                    let proxy = pre.instantiate_async(&mut store).await?;
                    let mut http = store.data_mut().http();
                    let scheme = if is_https {
                        Scheme::Https
                    } else {
                        Scheme::Http
                    };
                    let request = http.new_incoming_request(scheme, request)?;
                    let outparam = http.new_response_outparam(answers)?;
                    let handler = proxy.wasi_http_incoming_handler();
                    handler.call_handle(&mut store, request, outparam).await
                });
                poll_fn(|context| {
                    slice.begin();
                    running.as_mut().poll(context)
                })
                .await
            };
            output.lock().flush(Some(&id));
            result.map_err(|error| {
                // Before the store goes: what reads its bodies must not take their ends for whole ones.
                failing.store(true, Ordering::Release);
                let refused = store.data().memory.refused;
                let said = output.lock().take_said();
                CallFailure::from_error(error, refused, |error| {
                    GuestTrace::read(error, &lines, said, false)
                })
            })
        });
        HandlerCall {
            task,
            continuation: Some(continues),
            answer,
            has_failed,
        }
    }
}

impl HandlerCall {
    /// Wait for what the handler does next.
    ///
    /// # Errors
    ///
    /// It failed, took too long, or ended without an answer.
    pub(crate) async fn next(&mut self) -> Result<HandlerEvent, CallFailure> {
        timeout(DECISION, self.decide()).await.unwrap_or_else(|_| {
            Err(CallFailure::Verdict(format!(
                "it neither sent the request on nor answered within {DECISION:?}"
            )))
        })
    }

    async fn decide(&mut self) -> Result<HandlerEvent, CallFailure> {
        if let Some(continues) = &mut self.continuation {
            tokio::select! {
                biased;
                goes_on = continues => {
                    self.continuation = None;
                    if let Ok(goes_on) = goes_on {
                        return Ok(HandlerEvent::GoesOn(goes_on));
                    }
                }
                answer = &mut self.answer => return self.answered(answer).await,
            }
        }
        let answer = (&mut self.answer).await;
        self.answered(answer).await
    }

    async fn answered(
        &mut self,
        answer: Result<Result<Response<WasiBody>, ErrorCode>, oneshot::error::RecvError>,
    ) -> Result<HandlerEvent, CallFailure> {
        match answer {
            Ok(Ok(response)) => Ok(HandlerEvent::Answers(response)),
            Ok(Err(code)) => Err(CallFailure::Reported(format!("it answered `{code:?}`"))),
            Err(_) => match (&mut self.task).await {
                Ok(Err(failure)) => Err(failure),
                Ok(Ok(())) => Err(CallFailure::Verdict("it ended without an answer".into())),
                Err(error) => Err(CallFailure::HostPanic(error.to_string())),
            },
        }
    }

    /// Whether it has failed. The ends of its bodies are then no ends.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// The same, for what outlives the call.
    #[must_use]
    pub(crate) fn failure_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_failed)
    }

    /// Its end.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CallFailure>> {
        let end = ready!(Pin::new(&mut self.task).poll(context));
        let panicked = |error: JoinError| Err(CallFailure::HostPanic(error.to_string()));
        Poll::Ready(end.unwrap_or_else(panicked))
    }
}

impl Drop for HandlerCall {
    fn drop(&mut self) {
        self.task.abort();
    }
}
