//! Stop 8: the response phases, in reverse.

use std::rc::Rc;

use http::{Method, StatusCode};

use super::pipe::{Direction, Pipe, Stage};
use super::{ChainEnd, Passage, Refusal, decide};
use crate::error::{ErrorDetails, ErrorFormat, RequestError, grpc};
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::model::head::ResponseHead;
use crate::wasm::{BodyMode, Filter, HeadVerdict, WorkerFilter};

/// The response's body on its way back to the client.
#[derive(Default)]
pub(super) struct ResponseInProgress {
    pub(super) body: Body,
    pub(super) stages: Vec<Stage>,
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
            ..Self::default()
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
            ..ResponseInProgress::from_gateway(body)
        };
        for position in entered.into_iter().rev() {
            let Some(worker_filter) = self.worker_filter(position) else {
                continue;
            };
            let filter = worker_filter.filter();
            if let Err(error) = self.apply_edits(position, worker_filter) {
                back = ResponseInProgress::from_gateway(self.replace_response(error.into()));
                continue;
            }
            if !filter.phases().response {
                if filter.is_handler()
                    && let Err(end) = Box::pin(self.leave_handler(position, &mut back)).await
                {
                    back = ResponseInProgress::from_gateway(self.replace_response(end));
                }
                continue;
            }
            let caller = self.call_context(position, worker_filter);
            let verdict = match worker_filter.check_out() {
                Ok(out) => self.call(caller, out, Filter::on_response),
                Err(not_now) => {
                    let (phase, on_fiber) = (Filter::on_response, Filter::on_response_on_fiber);
                    Box::pin(self.call_when_ready(caller, not_now, phase, on_fiber)).await
                }
            };
            let replaced = match verdict {
                Ok(HeadVerdict::Next(mode)) => {
                    self.apply_body_mode(position, worker_filter, mode, &mut back)
                        .await
                }
                Ok(HeadVerdict::Respond(answer)) => Err(ChainEnd::answer(filter, answer)),
                Err(failure) => decide(filter, failure).map_err(ChainEnd::Failed),
            };
            if let Err(end) = replaced {
                back = ResponseInProgress::from_gateway(self.replace_response(end));
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

    /// Carry out a body mode.
    async fn apply_body_mode(
        self: &Rc<Self>,
        position: u16,
        worker_filter: &Rc<WorkerFilter>,
        mode: BodyMode,
        back: &mut ResponseInProgress,
    ) -> Result<(), ChainEnd> {
        match mode {
            // The response's fields must be those of the body that the filter would have made.
            BodyMode::Chunks | BodyMode::Whole(_) if back.hidden => back.edited = true,
            _ if !back.open => {}
            BodyMode::Skip => {}
            BodyMode::Chunks => back.stages.push(Stage::new(position, worker_filter)),
            BodyMode::Whole(max) => {
                let through = std::mem::take(&mut back.stages);
                let body = &mut back.body;
                let caller = self.call_context(position, worker_filter);
                self.show_whole_body(caller, Direction::Response, max, body, through)
                    .await?;
            }
        }
        Ok(())
    }

    /// Replace the response; gives the new body.
    fn replace_response(&self, end: ChainEnd) -> Body {
        self.exchange.with(|exchange| match end {
            ChainEnd::Answer(refusal) => put_refusal(exchange, refusal, self.words()),
            ChainEnd::Failed(error) => put_error(exchange, &error, self.words()),
        })
    }

    /// Make a filter's answer the response; gives its body.
    pub(crate) fn put_refusal(&self, refusal: Refusal) -> Body {
        self.replace_response(ChainEnd::Answer(refusal))
    }
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
