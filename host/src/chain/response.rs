//! Stop 8: the response phases, in reverse.

use std::rc::Rc;

use http::{Method, StatusCode};

use super::pipe::{BufferedBody, Direction, Pipe, Stage};
use super::{Passage, Refusal, decide};
use crate::error::{Code, ErrorDetails, ErrorFormat, RequestError, grpc};
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::model::head::ResponseHead;
use crate::wasm::{
    BodyCall, BodyMode, BodyVerdict, CallFailure, CheckOutError, CheckedOut, ResponseVerdict,
    WorkerFilter,
};

/// The response's body on its way back to the client.
struct ResponseInProgress {
    body: Body,
    stages: Vec<Stage>,
    /// Whether body phases apply: not to a body that the gateway or a filter made, and not if there is none.
    open: bool,
    /// Whether this responds to a `HEAD`, whose `GET` would have a body that meets body phases.
    hidden: bool,
    /// Whether a filter would have edited that body.
    edited: bool,
}

impl ResponseInProgress {
    /// A body that the gateway or a filter made.
    fn from_gateway(body: Body) -> Self {
        Self {
            body,
            stages: Vec::new(),
            open: false,
            hidden: false,
            edited: false,
        }
    }
}

impl Passage {
    /// Run the response phases on the head in the exchange. `from_gateway`: the gateway or a filter made the
    /// response, so no body phase sees its body.
    pub async fn response(self: &Rc<Self>, body: Body, made: bool) -> Body {
        let entered = std::mem::take(&mut *self.entered.borrow_mut());
        if !self.chain.has_response {
            return self.apply_all_edits(entered, body);
        }
        let (has_body, is_head) = self.exchange.with(|exchange| {
            let is_head = exchange.request.method == Method::HEAD;
            (!made && may_have_body(exchange), is_head)
        });
        let mut back = ResponseInProgress {
            open: has_body && !is_head,
            hidden: has_body && is_head,
            edited: false,
            body,
            stages: Vec::new(),
        };
        for position in entered.into_iter().rev() {
            let Some(worker_filter) = self.worker_filter(position) else {
                continue;
            };
            let filter = worker_filter.filter();
            if let Err(error) = self.apply_edits(position, worker_filter) {
                back = ResponseInProgress::from_gateway(
                    self.replace_response(Replacement::Error(error)),
                );
                continue;
            }
            if !filter.phases().response {
                continue;
            }
            let verdict = match worker_filter.check_out() {
                Ok(out) => self.call_on_response(position, worker_filter, out),
                Err(not_now) => {
                    Box::pin(self.call_on_response_when_ready(position, worker_filter, not_now))
                        .await
                }
            };
            let replaced = match verdict {
                Ok(ResponseVerdict::Next(mode)) => {
                    self.apply_body_mode(position, mode, &mut back).await
                }
                Ok(ResponseVerdict::Replace(answer)) => {
                    let filter = filter.name().clone();
                    Err(Replacement::Answer(Refusal { answer, filter }))
                }
                Err(failure) => decide(filter, failure).map_err(Replacement::Error),
            };
            if let Err(replacement) = replaced {
                back = ResponseInProgress::from_gateway(self.replace_response(replacement));
            }
        }
        if back.edited {
            self.drop_body_headers(Direction::Response);
        }
        if back.stages.is_empty() {
            return back.body;
        }
        self.drop_body_headers(Direction::Response);
        let pipe = Pipe::new(self.clone(), Direction::Response, back.body, back.stages);
        Body::Stream(Box::new(pipe))
    }

    /// Run a filter's response phase.
    #[inline]
    fn call_on_response(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
        out: CheckedOut,
    ) -> Result<ResponseVerdict, CallFailure> {
        let caller = self.call_context(position, worker_filter);
        let (exchange, verdict) =
            worker_filter
                .filter()
                .on_response(caller, out, self.exchange.take());
        self.exchange.put(exchange);
        verdict
    }

    async fn call_on_response_when_ready(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
        not_now: CheckOutError,
    ) -> Result<ResponseVerdict, CallFailure> {
        let out = worker_filter.wait_if_busy(not_now).await?;
        if worker_filter.runs_on_fiber() {
            let caller = self.call_context(position, worker_filter);
            return worker_filter
                .filter()
                .on_response_on_fiber(caller, out, &self.exchange)
                .await;
        }
        self.call_on_response(position, worker_filter, out)
    }

    /// Carry out a body mode.
    async fn apply_body_mode(
        self: &Rc<Self>,
        position: u16,
        mode: BodyMode,
        back: &mut ResponseInProgress,
    ) -> Result<(), Replacement> {
        match mode {
            // The response's fields must be those of the body that the filter would have made.
            BodyMode::Chunks | BodyMode::Whole(_) if back.hidden => {
                back.edited = true;
                Ok(())
            }
            _ if !back.open => Ok(()),
            BodyMode::Skip => Ok(()),
            BodyMode::Chunks => {
                back.stages.push(Stage::new(position));
                Ok(())
            }
            BodyMode::Whole(max) => {
                let body = std::mem::take(&mut back.body);
                let through = std::mem::take(&mut back.stages);
                back.body = self.buffer_response(position, max, body, through).await?;
                Ok(())
            }
        }
    }

    async fn buffer_response(
        self: &Rc<Self>,
        position: u16,
        max: u64,
        body: Body,
        through: Vec<Stage>,
    ) -> Result<Body, Replacement> {
        let gathered = Pipe::buffer(self, Direction::Response, body, through, max).await;
        let BufferedBody {
            chunk: mut piece,
            mut trailers,
        } = gathered.map_err(|error| match error {
            None => Replacement::Error(Code::ResponseTooLarge.into()),
            Some(error) => match self.take_body_end() {
                Some(super::BodyEnd::Answer(refusal)) => Replacement::Answer(refusal),
                Some(super::BodyEnd::Failed(error)) => Replacement::Error(error),
                None => Replacement::Error(RequestError::with_source(error.code(), error)),
            },
        })?;
        let Some(worker_filter) = self.worker_filter(position) else {
            return Ok(piece.into_bytes().into());
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
        let verdict = self
            .call_body_phase(position, worker_filter, Direction::Response, call)
            .await;
        if edited {
            self.drop_body_headers(Direction::Response);
        }
        match verdict {
            Ok(BodyVerdict::Next | BodyVerdict::More | BodyVerdict::Done) => {
                Ok(self.rebuild_body(Direction::Response, piece, trailers))
            }
            Ok(BodyVerdict::Respond(answer)) => {
                filter.count(worker_filter.worker(), |figures| &figures.answers, 1);
                let filter = filter.name().clone();
                Err(Replacement::Answer(Refusal { answer, filter }))
            }
            Err(failure) => {
                decide(filter, failure).map_err(Replacement::Error)?;
                Ok(self.rebuild_body(Direction::Response, piece, trailers))
            }
        }
    }

    /// Replace the response; gives the new body.
    fn replace_response(&self, replacement: Replacement) -> Body {
        self.exchange.with(|exchange| match replacement {
            Replacement::Answer(refusal) => put_refusal(exchange, refusal, self.words()),
            Replacement::Error(error) => put_error(exchange, &error, self.words()),
        })
    }

    /// Make a filter's answer the response; gives its body.
    pub(crate) fn put_refusal(&self, refusal: Refusal) -> Body {
        self.replace_response(Replacement::Answer(refusal))
    }
}

/// The reason why another response replaces this one.
enum Replacement {
    Answer(Refusal),
    Error(RequestError),
}

/// 204, 205 and 304 have none, whatever the method (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
fn may_have_body(exchange: &Exchange) -> bool {
    let status = exchange.response.as_ref().map(|response| response.status);
    !matches!(
        status,
        Some(StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) | None
    )
}

/// Make a filter's response the response. If it is an error with an empty body, the host writes the body.
fn put_refusal(exchange: &mut Exchange, refusal: Refusal, words: &ErrorFormat) -> Body {
    let answer = *refusal.answer;
    let mut head = ResponseHead {
        status: answer.status,
        headers: answer.headers,
    };
    let mut body = answer.body;
    let is_own = exchange.grpc && grpc::is_grpc_response(&head.headers);
    if !is_own {
        let (status, text) = (head.status, answer.reason.replace('_', " "));
        let own = body.clone();
        if body.is_empty() && status.as_u16() >= 400 {
            let fault = ErrorDetails {
                status,
                code: &answer.reason,
                text: &text,
                members: answer.members.as_deref(),
            };
            (head, body) = words.answer(fault, head.headers, &exchange.id);
        }
        if exchange.grpc {
            grpc::answer(status, &text, &own, &mut head);
            body.clear();
        }
    }
    exchange.outcome.failure = Some(answer.reason.into());
    exchange.outcome.filter = Some(refusal.filter);
    exchange.response = Some(head);
    body.into()
}

/// Make an error the response.
pub(crate) fn put_error(
    exchange: &mut Exchange,
    error: &RequestError,
    words: &ErrorFormat,
) -> Body {
    let code = error.code();
    let fault = ErrorDetails {
        status: code.status(),
        code: code.as_str(),
        text: code.text(),
        members: None,
    };
    let (mut head, mut body) = words.answer(fault, error.headers(), &exchange.id);
    if exchange.grpc {
        grpc::error(code, &mut head);
        body.clear();
    }
    exchange.outcome.failure = Some(code.as_str().into());
    exchange.outcome.filter = error.filter().cloned();
    exchange.response = Some(head);
    body.into()
}
