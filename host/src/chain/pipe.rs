//! A body on its way through the filters that asked for its chunks.
//!
//! Each chunk passes the stages in order: in chain order on the way in, in reverse on the way back. A
//! stage may keep what it has seen and ask for more; the next stage sees what a stage forwards. The
//! last call comes with the last bytes if their end is known, else without any.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};

use super::{ChainEnd, Passage, decide};
use crate::error::{Code, RequestError};
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::wasm::{
    BodyCall, BodyVerdict, CallFailure, CheckOutError, CheckedOut, Chunk, WorkerFilter,
};

/// The direction of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the upstream.
    Request,
    /// To the client.
    Response,
}

impl Direction {
    /// The fields of the message that the body is of.
    pub(super) fn fields(self, exchange: &mut Exchange) -> Option<&mut HeaderMap> {
        match self {
            Self::Request => Some(&mut exchange.request.headers),
            Self::Response => exchange.response.as_mut().map(|head| &mut head.headers),
        }
    }

    /// The error of a body that is too large for a filter.
    pub(super) fn too_large(self) -> RequestError {
        match self {
            Self::Request => Code::BodyTooLarge.into(),
            Self::Response => Code::ResponseTooLarge.into(),
        }
    }
}

/// One filter that a body passes.
pub(crate) struct Stage {
    position: u16,
    worker_filter: Rc<WorkerFilter>,
    /// The bytes that the filter asked to see again, with more.
    kept: Chunk,
    /// Whether the filter wants no further call.
    done: bool,
    /// Its wait for an instance, while it has none.
    wait: Option<InstanceWait>,
}

/// A body that passes filters.
pub(crate) struct Pipe {
    passage: Rc<Passage>,
    direction: Direction,
    source: Body,
    stages: Vec<Stage>,
    out: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    ended: bool,
    in_transit: Option<ChunkInTransit>,
}

impl Pipe {
    /// Let the body pass these stages.
    #[must_use]
    pub(crate) fn new(
        passage: Rc<Passage>,
        direction: Direction,
        source: Body,
        stages: Vec<Stage>,
    ) -> Self {
        Self {
            passage,
            direction,
            source,
            stages,
            out: VecDeque::new(),
            trailers: None,
            ended: false,
            in_transit: None,
        }
    }

    /// The only call of the stages for an empty body.
    ///
    /// # Errors
    ///
    /// A stage ended it.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<Chunk, BodyError>> {
        if !self.ended {
            self.begin_chunk(Chunk::default(), true);
        }
        ready!(self.poll_pass(context))?;
        let mut chunk = Chunk::default();
        self.out.drain(..).for_each(|bytes| chunk.append(bytes));
        Poll::Ready(Ok(chunk))
    }

    /// Begin to pass a chunk through the stages.
    fn begin_chunk(&mut self, chunk: Chunk, last: bool) {
        if last {
            self.ended = true;
            self.trailers.get_or_insert_default();
        }
        self.in_transit = Some(ChunkInTransit {
            chunk,
            last,
            stage: 0,
        });
    }

    /// Pass the present chunk through the stages, and the result to `out`.
    fn poll_pass(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while let Some(passing) = &mut self.in_transit {
            let Some(stage) = self.stages.get_mut(passing.stage) else {
                let chunk = std::mem::take(&mut passing.chunk);
                self.out.extend(chunk.into_parts());
                self.in_transit = None;
                break;
            };
            if stage.done {
                passing.stage += 1;
                continue;
            }
            if passing.chunk.is_empty() && !passing.last {
                self.in_transit = None;
                break;
            }
            let out = ready!(stage.poll_check_out(&self.passage, context));
            let fresh = std::mem::replace(&mut passing.chunk, std::mem::take(&mut stage.kept));
            passing.chunk.join(fresh);
            let (passage, trailers) = (&self.passage, &mut self.trailers);
            match stage.call(passage, self.direction, out, passing, trailers) {
                Ok(ChunkOutcome::Forward) => passing.stage += 1,
                Ok(ChunkOutcome::Keep) => {
                    stage.kept = std::mem::take(&mut passing.chunk);
                    self.in_transit = None;
                }
                Err(error) => {
                    self.in_transit = None;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Pipe {
    /// Nothing comes after this.
    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.ended = true;
        self.trailers = None;
        Poll::Ready(Some(Err(error)))
    }
}

/// A chunk on its way through the stages.
struct ChunkInTransit {
    chunk: Chunk,
    last: bool,
    /// Its next stage.
    stage: usize,
}

/// A wait for an instance.
type InstanceWait = Pin<Box<dyn Future<Output = Result<CheckedOut, CallFailure>>>>;

enum ChunkOutcome {
    Forward,
    Keep,
}

impl Stage {
    /// The filter at this position of the chain.
    #[must_use]
    pub(crate) fn new(position: u16, worker_filter: &Rc<WorkerFilter>) -> Self {
        Self {
            position,
            worker_filter: Rc::clone(worker_filter),
            kept: Chunk::default(),
            done: false,
            wait: None,
        }
    }

    /// An instance for the next call, or the reason why there is none. The worker serves other requests while
    /// this waits for an instance, or for a phase on a fiber that has the exchange.
    fn poll_check_out(
        &mut self,
        passage: &Passage,
        context: &mut Context<'_>,
    ) -> Poll<Result<CheckedOut, CallFailure>> {
        ready!(passage.exchange.poll_present(context));
        let wait = match &mut self.wait {
            Some(wait) => wait,
            None => match self.worker_filter.check_out() {
                // A call for a chunk runs at once, even if the filter's other calls run on a fiber.
                Ok(out) | Err(CheckOutError::OnFiber(out)) => return Poll::Ready(Ok(out)),
                Err(CheckOutError::Failed(failure)) => return Poll::Ready(Err(failure)),
                Err(CheckOutError::Wait(permit)) => {
                    let worker_filter = Rc::clone(&self.worker_filter);
                    let wait = Box::pin(async move { worker_filter.wait(permit).await });
                    self.wait.insert(wait)
                }
            },
        };
        let out = ready!(wait.as_mut().poll(context));
        self.wait = None;
        Poll::Ready(out)
    }

    fn call(
        &mut self,
        passage: &Passage,
        direction: Direction,
        out: Result<CheckedOut, CallFailure>,
        passing: &mut ChunkInTransit,
        trailers: &mut Option<HeaderMap>,
    ) -> Result<ChunkOutcome, BodyError> {
        let ChunkInTransit { chunk, last, .. } = passing;
        let last = *last;
        let filter = self.worker_filter.filter();
        let cap = filter.body_cap();
        let mut none = None;
        let call = BodyCall {
            chunk,
            trailers: if last { trailers } else { &mut none },
            last,
            head_open: false,
            edited: &mut false,
            cap: cap.max(chunk_room(cap)),
        };
        let caller = passage.call_context(self.position, &self.worker_filter);
        let verdict = out.and_then(|out| passage.call_body(direction, caller, out, call));
        match verdict {
            Ok(BodyVerdict::Next) => Ok(ChunkOutcome::Forward),
            Ok(BodyVerdict::More) if last => Ok(ChunkOutcome::Forward),
            Ok(BodyVerdict::More) if chunk.len() > cap => {
                let error = direction.too_large().in_filter(filter.name().clone());
                Err(passage.end_body(error.into()))
            }
            Ok(BodyVerdict::More) => Ok(ChunkOutcome::Keep),
            Ok(BodyVerdict::Done) => {
                self.done = true;
                Ok(ChunkOutcome::Forward)
            }
            Ok(BodyVerdict::Respond(answer)) => {
                filter.count(self.worker_filter.worker(), |figures| &figures.answers, 1);
                Err(passage.end_body(ChainEnd::answer(filter, answer)))
            }
            Err(failure) => match decide(filter, failure) {
                Ok(()) => {
                    self.done = true;
                    Ok(ChunkOutcome::Forward)
                }
                Err(error) => Err(passage.end_body(error.into())),
            },
        }
    }
}

/// Edits may make a chunk larger than the filter's cap on whole bodies, within reason: chunks arrive with
/// up to 64 KiB whatever the cap.
fn chunk_room(cap: u64) -> u64 {
    cap.max(256 * 1024)
}

impl HttpBody for Pipe {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.in_transit.is_some() {
                if let Err(error) = ready!(this.poll_pass(cx)) {
                    return this.fail(error);
                }
                continue;
            }
            if this.ended {
                let trailers = this.trailers.take().filter(|trailers| !trailers.is_empty());
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match ready!(Pin::new(&mut this.source).poll_frame(cx)) {
                None => this.begin_chunk(Chunk::default(), true),
                Some(Err(error)) => return this.fail(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let last = this.source.is_end_stream();
                        this.begin_chunk(data.into(), last);
                    }
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.begin_chunk(Chunk::default(), true);
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let no_trailers = self.trailers.as_ref().is_none_or(HeaderMap::is_empty);
        self.ended && self.in_transit.is_none() && self.out.is_empty() && no_trailers
    }
}
