//! Stop 5: the request phases, in the order of the chain.

use std::future::poll_fn;
use std::rc::Rc;

use http_body::Body as _;

use super::pipe::{Direction, Pipe, Stage};
use super::{ChainEnd, Passage, decide};
use crate::http::body::Body;
use crate::wasm::{BodyMode, CallContext, CallFailure, CheckOutError, Filter, HeadVerdict};

impl Passage {
    /// Run the request phases. The rest of the body, or the body that filters made, stays in `body`: a
    /// response that did not need it leaves it to be drained.
    ///
    /// # Errors
    ///
    /// A filter responds or failed, or the body that one asked for could not be read.
    pub async fn request(self: &Rc<Self>, body: &mut Body) -> Result<(), ChainEnd> {
        self.expect_trailers(body);
        let mut stages = Vec::new();
        for (position, worker_filter) in self.worker_filters() {
            let filter = worker_filter.filter();
            if !filter.phases().request {
                if filter.is_handler() {
                    let through = std::mem::take(&mut stages);
                    Box::pin(self.enter_handler(position, worker_filter, body, through)).await?;
                }
                self.entered.borrow_mut().push(position);
                continue;
            }
            // Made anew for each call: one that is kept across an await makes every request slower.
            let caller = || self.call_context(position, worker_filter);
            let verdict = match self.max_wait(filter) {
                None => match self.run_request(caller()) {
                    Ok(verdict) => verdict,
                    // Boxed, since this is rare, and a large future makes every request slower.
                    Err(not_now) => Box::pin(self.run_request_when_ready(caller(), not_now)).await,
                },
                Some(most) => self.run_when_decidable(caller(), most).await,
            };
            let mode = match verdict {
                Ok(HeadVerdict::Next(mode)) => mode,
                Ok(HeadVerdict::Respond(answer)) => {
                    return Err(ChainEnd::answer(filter, answer));
                }
                Err(failure) => {
                    decide(filter, failure)?;
                    continue;
                }
            };
            match mode {
                BodyMode::Skip => {}
                BodyMode::Chunks => stages.push(Stage::new(position, worker_filter)),
                BodyMode::Whole(max) => {
                    let through = std::mem::take(&mut stages);
                    let direction = Direction::Request;
                    // Boxed, for the same reason.
                    let shown = self.show_whole_body(caller(), direction, max, body, through);
                    if !Box::pin(shown).await? {
                        continue;
                    }
                }
            }
            self.entered.borrow_mut().push(position);
        }
        self.stream_request(body, stages).await
    }

    /// Run a filter's request phase, if it can run at once.
    pub(super) fn run_request(
        &self,
        caller: CallContext<'_>,
    ) -> Result<Result<HeadVerdict, CallFailure>, CheckOutError> {
        if let Some(missing) = self.missing_attribute(caller.worker_filter.filter()) {
            return Ok(Err(missing));
        }
        let out = caller.worker_filter.check_out()?;
        Ok(self.call(caller, out, Filter::on_request))
    }

    pub(super) async fn run_request_when_ready(
        &self,
        caller: CallContext<'_>,
        not_now: CheckOutError,
    ) -> Result<HeadVerdict, CallFailure> {
        let on_fiber = Filter::on_request_on_fiber;
        self.call_when_ready(caller, not_now, Filter::on_request, on_fiber)
            .await
    }

    /// Let the body pass the filters that asked for `chunks`. They see the end of a request without a body
    /// at once, so that it goes upstream without one.
    async fn stream_request(
        self: &Rc<Self>,
        body: &mut Body,
        stages: Vec<Stage>,
    ) -> Result<(), ChainEnd> {
        if stages.is_empty() {
            return Ok(());
        }
        let empty = body.is_end_stream();
        let source = std::mem::take(body);
        let mut pipe = Pipe::new(self.clone(), Direction::Request, source, stages);
        if !empty {
            self.drop_body_headers(Direction::Request);
            *body = Body::Stream(Box::new(pipe));
            return Ok(());
        }
        let end = poll_fn(|context| pipe.poll_end(context)).await;
        let chunk = end.map_err(|error| self.end_of_body(error))?;
        *body = chunk.into_bytes().into();
        Ok(())
    }
}
