//! Filters that are handlers: components on `wasi:http`, which a whole exchange passes.
//!
//! The handler gets the request when the chain comes to it, and the chain goes on with the request that
//! the handler sends to the same host. On the way back it gets the response, and its answer is the
//! response. Both bodies pass frame by frame. A handler that answers without sending the request on
//! refuses it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRAILER};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::oneshot;

use super::pipe::{Direction, Pipe, Stage};
use super::response::ResponseInProgress;
use super::{ChainEnd, Passage, decide};
use crate::error::{Code, RequestError};
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::http::body_error::{BodyError, FramePoll};
use crate::model::head::ResponseHead;
use crate::wasm::standard::{
    BodyFault, FilterHandlerCall, HandlerBody, HandlerEvent, RequestOfHandler, ResponseOfHandler,
    into_handler, is_reserved,
};
use crate::wasm::{CallFailure, Filter, FilterResponse, WorkerFilter};

/// The reason of a response that a handler gives without sending the request on.
const ANSWERED: &str = "answered";

/// A handler whose request went on.
pub(super) struct RunningHandler {
    position: u16,
    call: FilterHandlerCall,
    /// Takes the response.
    respond: oneshot::Sender<Response<HandlerBody>>,
    passed: Arc<AtomicU64>,
}

impl std::fmt::Debug for RunningHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningHandler")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Passage {
    /// Let the request pass a handler, after the chunks filters before it. The request that it sends on is in the
    /// exchange and in `body`.
    ///
    /// # Errors
    ///
    /// It answers, or failed, or the body could not be read.
    pub(super) async fn enter_handler(
        self: &Rc<Self>,
        position: u16,
        worker_filter: &Rc<WorkerFilter>,
        body: &mut Body,
        through: Vec<Stage>,
    ) -> Result<(), ChainEnd> {
        let filter = worker_filter.filter();
        let source = self.through(Direction::Request, std::mem::take(body), through);
        let (passed, broken) = (Arc::default(), BodyFault::default());
        let source = into_handler(source, &passed, &broken);
        let (request, is_https, id) = self.exchange.with(|exchange| {
            let is_https = exchange.client.scheme == Scheme::HTTPS;
            (request_of(exchange, source), is_https, exchange.id.clone())
        });
        let services = &self.chain.services;
        let worker = worker_filter.worker();
        let started = filter.start_handler(worker, id, request, is_https, services, passed.clone());
        let mut call = started.map_err(|failure| failed(filter, failure))?;
        let event = call.call.next().await;
        // A body that broke off is the cause of whatever the handler did then.
        if let Some(error) = broken.take() {
            return Err(self.end_of_body(error));
        }
        match event {
            Ok(HandlerEvent::GoesOn(continuation)) => {
                let request = RequestOfHandler::of(continuation.request);
                let request = request.map_err(|failure| fail(&call, failure))?;
                *body = self.send_on(request, &call, &broken, &passed);
                self.handlers.borrow_mut().push(RunningHandler {
                    position,
                    call,
                    respond: continuation.respond,
                    passed,
                });
                Ok(())
            }
            Ok(HandlerEvent::Answers(response)) => Err(answer(&call, response).await),
            Err(failure) => Err(fail(&call, failure)),
        }
    }

    /// Make a handler's request the exchange's. Gives its body.
    fn send_on(
        self: &Rc<Self>,
        request: RequestOfHandler,
        call: &FilterHandlerCall,
        broken: &BodyFault,
        passed: &Arc<AtomicU64>,
    ) -> Body {
        self.exchange.with(|exchange| {
            let head = &mut exchange.request;
            head.method = request.method;
            head.target = request.target;
            let before = std::mem::replace(&mut head.headers, request.headers);
            let kept = before.iter().filter(|(name, _)| is_reserved(name));
            for (name, value) in
                kept.filter(|(name, _)| **name != CONTENT_LENGTH && **name != TRAILER)
            {
                head.headers.append(name, value.clone());
            }
        });
        if request.body.is_end_stream() {
            return Body::Empty;
        }
        Body::Stream(Box::new(HandledBody {
            body: request.body,
            length: request.length,
            passed: Arc::clone(passed),
            has_failed: call.call.failure_flag(),
            broken: Some(Rc::clone(broken)),
            call: None,
            passage: Rc::clone(self),
        }))
    }

    /// Let the response pass the handler, whose answer replaces it.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(super) async fn leave_handler(
        self: &Rc<Self>,
        position: u16,
        back: &mut ResponseInProgress,
    ) -> Result<(), ChainEnd> {
        let Some(running) = self.take_handler(position) else {
            return Ok(());
        };
        let RunningHandler {
            mut call,
            respond,
            passed,
            ..
        } = running;
        let is_switch = |exchange: &mut Exchange| {
            let head = exchange.response.as_ref();
            head.is_some_and(|head| head.status == StatusCode::SWITCHING_PROTOCOLS)
        };
        // The bytes that follow are no message of HTTP.
        if self.exchange.with(is_switch) {
            return Ok(());
        }
        let stages = std::mem::take(&mut back.stages);
        if !stages.is_empty() {
            self.drop_body_headers(Direction::Response);
        }
        let source = self.through(Direction::Response, std::mem::take(&mut back.body), stages);
        let broken = BodyFault::default();
        let source = into_handler(source, &passed, &broken);
        let response = self.exchange.with(|exchange| response_of(exchange, source));
        // A handler that has answered already does not take it.
        let _ = respond.send(response);
        let answer = match call.call.next().await {
            Ok(HandlerEvent::Answers(answer)) => ResponseOfHandler::of(answer),
            Ok(HandlerEvent::GoesOn(_)) => {
                Err(CallFailure::Verdict("it sent the request on twice".into()))
            }
            Err(failure) => Err(failure),
        };
        let answer = answer.map_err(|failure| fail(&call, failure))?;
        call.succeeded();
        self.put_answer(answer, call, passed, broken, back);
        Ok(())
    }

    fn take_handler(&self, position: u16) -> Option<RunningHandler> {
        let mut handlers = self.handlers.borrow_mut();
        let found = handlers.iter().position(|one| one.position == position)?;
        Some(handlers.swap_remove(found))
    }

    /// Make a handler's answer the response.
    fn put_answer(
        self: &Rc<Self>,
        answer: ResponseOfHandler,
        call: FilterHandlerCall,
        passed: Arc<AtomicU64>,
        broken: BodyFault,
        back: &mut ResponseInProgress,
    ) {
        let mut headers = answer.headers;
        let is_head = self
            .exchange
            .with(|exchange| exchange.request.method == Method::HEAD);
        if let Some(length) = answer.length.filter(|_| is_head) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.exchange.with(|exchange| {
            exchange.response = Some(ResponseHead {
                status: answer.status,
                headers,
            });
        });
        back.body = match is_head || answer.body.is_end_stream() {
            true => Body::Empty,
            false => Body::Stream(Box::new(HandledBody {
                body: answer.body,
                length: answer.length,
                passed,
                has_failed: call.call.failure_flag(),
                broken: Some(broken),
                call: Some(call),
                passage: Rc::clone(self),
            })),
        };
    }

    /// A body that passes these stages.
    fn through(self: &Rc<Self>, direction: Direction, source: Body, stages: Vec<Stage>) -> Body {
        match stages.is_empty() {
            true => source,
            false => Body::Stream(Box::new(Pipe::new(self.clone(), direction, source, stages))),
        }
    }
}

/// The request as a handler gets it.
fn request_of(exchange: &Exchange, body: HandlerBody) -> Request<HandlerBody> {
    let head = &exchange.request;
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let uri = Uri::builder()
        .scheme(exchange.client.scheme.clone())
        .authority(host.unwrap_or("localhost"))
        .path_and_query(head.target.clone());
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    // The host was checked with the head.
    *request.uri_mut() = uri
        .build()
        .unwrap_or_else(|_| Uri::from(head.target.clone()));
    let fields = head.headers.iter();
    for (name, value) in fields.filter(|(name, _)| !is_reserved(name) || **name == CONTENT_LENGTH) {
        request.headers_mut().append(name, value.clone());
    }
    request
}

/// The response as a handler gets it.
fn response_of(exchange: &Exchange, body: HandlerBody) -> Response<HandlerBody> {
    let mut response = Response::new(body);
    if let Some(head) = &exchange.response {
        *response.status_mut() = head.status;
        let fields = head.headers.iter();
        for (name, value) in
            fields.filter(|(name, _)| !is_reserved(name) || **name == CONTENT_LENGTH)
        {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// The handler answers the client itself. Its answer is buffered, within the filter's `limits.body`.
async fn answer(call: &FilterHandlerCall, response: Response<HandlerBody>) -> ChainEnd {
    let response = match ResponseOfHandler::of(response) {
        Ok(response) => response,
        Err(failure) => return fail(call, failure),
    };
    let filter = call.filter();
    let most = usize::try_from(filter.body_cap()).unwrap_or(usize::MAX);
    let body = match Limited::new(response.body, most).collect().await {
        Ok(body) if !call.call.has_failed() => body.to_bytes(),
        Ok(_) => {
            return fail(
                call,
                CallFailure::Verdict("it failed before the end of its answer".into()),
            );
        }
        Err(_) => {
            let text =
                format!("its answer broke off, or has more than the {most} bytes of `limits.body`");
            return fail(call, CallFailure::Verdict(text));
        }
    };
    call.answered();
    ChainEnd::answer(
        filter,
        Box::new(FilterResponse {
            status: response.status,
            headers: response.headers,
            body,
            reason: ANSWERED.to_owned(),
            members: None,
        }),
    )
}

/// Count a failure of a call. Gives what the client gets.
fn fail(call: &FilterHandlerCall, failure: CallFailure) -> ChainEnd {
    call.failed(&failure);
    failed(call.filter(), failure)
}

fn failed(filter: &Filter, failure: CallFailure) -> ChainEnd {
    match decide(filter, failure) {
        Err(error) => error.into(),
        // A handler is never skipped.
        Ok(()) => RequestError::from(Code::FilterFailed).into(),
    }
}

/// A body that a handler gives.
struct HandledBody {
    body: HandlerBody,
    length: Option<u64>,
    passed: Arc<AtomicU64>,
    has_failed: Arc<std::sync::atomic::AtomicBool>,
    /// How the body broke off that the handler reads.
    broken: Option<BodyFault>,
    /// The call, which must go on until the response has ended.
    call: Option<FilterHandlerCall>,
    passage: Rc<Passage>,
}

impl HandledBody {
    fn end(&mut self, failure: CallFailure) -> BodyError {
        if let Some(error) = self.broken.as_ref().and_then(|broken| broken.take()) {
            return error;
        }
        let end = match &self.call {
            Some(call) => fail(call, failure),
            None => RequestError::with_source(Code::FilterFailed, failure).into(),
        };
        self.passage.end_body(end)
    }
}

impl HttpBody for HandledBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> FramePoll {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.passed.fetch_add(length as u64, Ordering::Relaxed);
                Poll::Ready(Some(Ok(frame)))
            }
            // The body of a handler that trapped ends like a whole one.
            None if self.has_failed.load(Ordering::Acquire) => {
                let failure = match &mut self.call {
                    Some(call) => ready!(call.call.poll_end(context)).err(),
                    None => None,
                };
                let failure = failure.unwrap_or_else(|| {
                    CallFailure::Verdict("it failed before the end of the body".into())
                });
                Poll::Ready(Some(Err(self.end(failure))))
            }
            None => Poll::Ready(None),
            Some(Err(error)) => {
                let failure = CallFailure::Verdict(format!("it cut a body: {error}"));
                Poll::Ready(Some(Err(self.end(failure))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
