//! Stop 5: the request phases, in the order of the chain.

use std::future::poll_fn;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Body as _;

use super::pipe::{BufferedBody, BufferedBodyStream, Direction, Pipe, Stage};
use super::{Passage, Refusal, decide};
use crate::error::{Code, RequestError};
use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::wasm::{
    BodyCall, BodyMode, BodyVerdict, CallFailure, CheckOutError, CheckedOut, Chunk, RequestVerdict,
    WorkerFilter,
};

/// The outcome of the request phases.
#[derive(Debug)]
pub enum RequestDecision {
    /// The request goes on.
    Forward,
    /// A filter responds.
    Answer(Refusal),
}

/// The outcome of a filter's call for the whole body.
enum WholeBodyOutcome {
    /// It lets the request pass.
    Passed,
    /// It failed, and the request goes on without it.
    Skipped,
    /// It responds.
    Answered(Refusal),
}

impl Passage {
    /// Run the request phases. The rest of the body, or the body that filters made, stays in `body`: a
    /// response that did not need it leaves it to be drained.
    ///
    /// # Errors
    ///
    /// A filter failed, or the body that one asked for could not be read.
    pub async fn request(
        self: &Rc<Self>,
        body: &mut Body,
    ) -> Result<RequestDecision, RequestError> {
        self.expect_trailers(body);
        let mut stages = Vec::new();
        for (position, worker_filter) in self.worker_filters() {
            let filter = worker_filter.filter();
            if !filter.phases().request {
                self.entered.borrow_mut().push(position);
                continue;
            }
            let verdict = match self.max_wait(filter) {
                None => match self.run_request(position, worker_filter, false) {
                    Ok(verdict) => verdict,
                    // Boxed, since this is rare, and a large future makes every request slower.
                    Err(not_now) => {
                        Box::pin(self.run_request_when_ready(
                            position,
                            worker_filter,
                            false,
                            not_now,
                        ))
                        .await
                    }
                },
                Some(most) => self.run_when_decidable(position, worker_filter, most).await,
            };
            let mode = match verdict {
                Ok(RequestVerdict::Next(mode)) => mode,
                Ok(RequestVerdict::Respond(answer)) => {
                    let filter = filter.name().clone();
                    return Ok(RequestDecision::Answer(Refusal { answer, filter }));
                }
                Err(failure) => {
                    decide(filter, failure)?;
                    continue;
                }
            };
            match mode {
                BodyMode::Skip => {}
                BodyMode::Chunks => stages.push(Stage::new(position)),
                BodyMode::Whole(max) => {
                    let through = std::mem::take(&mut stages);
                    match self.buffer_request(position, max, body, through).await? {
                        WholeBodyOutcome::Passed => {}
                        WholeBodyOutcome::Skipped => continue,
                        WholeBodyOutcome::Answered(refusal) => {
                            return Ok(RequestDecision::Answer(refusal));
                        }
                    }
                }
            }
            self.entered.borrow_mut().push(position);
        }
        Ok(match self.stream_request(body, stages).await? {
            Some(refusal) => RequestDecision::Answer(refusal),
            None => RequestDecision::Forward,
        })
    }

    /// Run a filter's request phase, if it can run at once.
    pub(super) fn run_request(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
        patient: bool,
    ) -> Result<Result<RequestVerdict, CallFailure>, CheckOutError> {
        if let Some(missing) = self.missing_attribute(worker_filter.filter()) {
            return Ok(Err(missing));
        }
        let out = worker_filter.check_out()?;
        Ok(self.call_on_request(position, worker_filter, patient, out))
    }

    pub(super) async fn run_request_when_ready(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
        patient: bool,
        not_now: CheckOutError,
    ) -> Result<RequestVerdict, CallFailure> {
        let out = worker_filter.wait_if_busy(not_now).await?;
        if worker_filter.runs_on_fiber() {
            let mut caller = self.call_context(position, worker_filter);
            caller.may_rerun = patient;
            return worker_filter
                .filter()
                .on_request_on_fiber(caller, out, &self.exchange)
                .await;
        }
        self.call_on_request(position, worker_filter, patient, out)
    }

    #[inline]
    fn call_on_request(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
        patient: bool,
        out: CheckedOut,
    ) -> Result<RequestVerdict, CallFailure> {
        let mut caller = self.call_context(position, worker_filter);
        caller.may_rerun = patient;
        let (exchange, verdict) =
            worker_filter
                .filter()
                .on_request(caller, out, self.exchange.take());
        self.exchange.put(exchange);
        verdict
    }

    /// Let the body pass the filters that asked for `chunks`. They see the end of a request without a body
    /// at once, so that it goes upstream without one.
    async fn stream_request(
        self: &Rc<Self>,
        body: &mut Body,
        stages: Vec<Stage>,
    ) -> Result<Option<Refusal>, RequestError> {
        if stages.is_empty() {
            return Ok(None);
        }
        let empty = body.is_end_stream();
        let source = std::mem::take(body);
        let mut pipe = Pipe::new(self.clone(), Direction::Request, source, stages);
        if !empty {
            self.drop_body_headers(Direction::Request);
            *body = Body::Stream(Box::new(pipe));
            return Ok(None);
        }
        match poll_fn(|context| pipe.poll_end(context)).await {
            Ok(piece) => {
                *body = piece.into_bytes().into();
                Ok(None)
            }
            Err(error) => self.take_body_result(error).map(Some),
        }
    }

    /// A body that filters ended becomes a response or a failure.
    fn take_body_result(&self, error: BodyError) -> Result<Refusal, RequestError> {
        match self.take_body_end() {
            Some(super::BodyEnd::Answer(refusal)) => Ok(refusal),
            Some(super::BodyEnd::Failed(error)) => Err(error),
            None => Err(RequestError::with_source(error.code(), error)),
        }
    }

    /// Buffer the body through the filters before this one, and call this one with the whole body.
    async fn buffer_request(
        self: &Rc<Self>,
        position: u16,
        max: u64,
        body: &mut Body,
        through: Vec<Stage>,
    ) -> Result<WholeBodyOutcome, RequestError> {
        if through.is_empty() && body.size_hint().lower() > max {
            return Err(Code::BodyTooLarge.into());
        }
        let source = std::mem::take(body);
        let gathered = Pipe::buffer(self, Direction::Request, source, through, max).await;
        let BufferedBody {
            chunk: mut piece,
            mut trailers,
        } = match gathered {
            Ok(gathered) => gathered,
            Err(None) => return Err(Code::BodyTooLarge.into()),
            Err(Some(error)) => {
                return self.take_body_result(error).map(WholeBodyOutcome::Answered);
            }
        };
        let Some(worker_filter) = self.worker_filter(position) else {
            return Err(Code::Internal.into());
        };
        let filter = worker_filter.filter();
        let mut edited = false;
        let call = BodyCall {
            chunk: &mut piece,
            trailers: &mut trailers,
            last: true,
            head_open: true,
            edited: &mut edited,
            cap: filter.body_cap(),
        };
        match self
            .call_body_phase(position, worker_filter, Direction::Request, call)
            .await
        {
            Ok(BodyVerdict::Next | BodyVerdict::More | BodyVerdict::Done) => {
                if edited {
                    self.drop_body_headers(Direction::Request);
                }
                *body = self.rebuild_body(Direction::Request, piece, trailers);
                Ok(WholeBodyOutcome::Passed)
            }
            Ok(BodyVerdict::Respond(answer)) => {
                filter.count(worker_filter.worker(), |figures| &figures.answers, 1);
                let filter = filter.name().clone();
                Ok(WholeBodyOutcome::Answered(Refusal { answer, filter }))
            }
            Err(failure) => {
                decide(filter, failure)?;
                *body = self.rebuild_body(Direction::Request, piece, trailers);
                Ok(WholeBodyOutcome::Skipped)
            }
        }
    }

    /// Remove the fields that described the body before filters edited it (RFC 9530 digests; RFC 9110,
    /// section 8.8.3 strong entity tags).
    pub(super) fn drop_body_headers(&self, direction: Direction) {
        self.exchange.with(|exchange| {
            let headers = match direction {
                Direction::Request => &mut exchange.request.headers,
                Direction::Response => match &mut exchange.response {
                    Some(response) => &mut response.headers,
                    None => return,
                },
            };
            headers.remove(header::CONTENT_LENGTH);
            for digest in ["content-digest", "repr-digest", "digest", "content-md5"] {
                headers.remove(digest);
            }
            let strong = headers
                .get(header::ETAG)
                .is_some_and(|tag| !tag.as_bytes().starts_with(b"W/"));
            if strong {
                headers.remove(header::ETAG);
            }
        });
    }
}

impl Passage {
    /// Run a filter's phase for a whole body.
    pub(super) async fn call_body_phase(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
        direction: Direction,
        call: BodyCall<'_>,
    ) -> Result<BodyVerdict, CallFailure> {
        let filter = worker_filter.filter();
        let out = match worker_filter.check_out() {
            Ok(out) => out,
            Err(not_now) => Box::pin(worker_filter.wait_if_busy(not_now)).await?,
        };
        let caller = self.call_context(position, worker_filter);
        let is_request = direction == Direction::Request;
        if filter.runs_on_fiber_for_body(call.chunk.len()) {
            let running = filter.on_body_on_fiber(caller, out, &self.exchange, call, is_request);
            return Box::pin(running).await;
        }
        let exchange = self.exchange.take();
        let (exchange, verdict) = match direction {
            Direction::Request => filter.on_request_body(caller, out, exchange, call),
            Direction::Response => filter.on_response_body(caller, out, exchange, call),
        };
        self.exchange.put(exchange);
        verdict
    }

    /// A whole body, with its trailers if it has some. The head names them (RFC 9110, section 6.6.2), since
    /// the connection sends no others.
    pub(super) fn rebuild_body(
        &self,
        direction: Direction,
        piece: Chunk,
        trailers: Option<HeaderMap>,
    ) -> Body {
        let Some(trailers) = trailers.filter(|trailers| !trailers.is_empty()) else {
            return piece.into_bytes().into();
        };
        let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        if let Ok(names) = HeaderValue::try_from(names.join(", ")) {
            self.exchange.with(|exchange| match direction {
                Direction::Request => {
                    exchange.request.headers.insert(header::TRAILER, names);
                }
                Direction::Response => {
                    if let Some(response) = &mut exchange.response {
                        response.headers.insert(header::TRAILER, names);
                    }
                }
            });
        }
        Body::Stream(Box::new(BufferedBodyStream::new(piece, trailers)))
    }
}
