//! One exchange through the filter's chain, with a table in place of the client and of the endpoint.
//!
//! The stops are those of [`crate::proxy`], in its order, without the upstream between them.

use std::error::Error as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;

use super::exchange_result::{ExchangeResult, SeenRefusal, SeenRequest, SeenResponse};
use super::filter_host::FilterUnderTest;
use super::lines;
use super::stimulus::Stimulus;
use crate::chain::{ChainEnd, Passage, put_error};
use crate::error::{ErrorFormat, RequestError};
use crate::exchange::{Client, Exchange, ExchangeCell, RouteInfo};
use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::model::condition::Conditions;
use crate::model::head::{RequestHead, ResponseHead};
use crate::model::request_id::RequestId;
use crate::route::{MethodMatch, RouteSpec, Router, normalize};
use crate::wasm::{CallFailure, CallFault, FilterResponse};

/// A fault to put into a call of a phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct PhaseFault {
    pub(super) phase: FaultyPhase,
    pub(super) fault: CallFault,
}

/// A phase that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultyPhase {
    Request,
    RequestBody,
    Response,
    ResponseBody,
    Log,
}

/// An exchange that has passed the request's phases.
pub(super) struct HalfwayExchange<'a> {
    under: &'a FilterUnderTest,
    stimulus: &'a Stimulus,
    fault: Option<PhaseFault>,
    passage: Rc<Passage>,
    result: ExchangeResult,
    /// The body that comes back, and whether the gateway or the filter made it.
    answer: (Body, bool),
}

/// Pass an exchange through the chain, and its log phase.
///
/// # Errors
///
/// The request does not fit the route.
pub(super) async fn pass(
    under: &FilterUnderTest,
    stimulus: &Stimulus,
    fault: Option<PhaseFault>,
) -> Result<ExchangeResult, String> {
    let halfway = begin(under, stimulus, fault).await?;
    Ok(finish(halfway).await)
}

/// Pass the request's phases.
///
/// # Errors
///
/// The request does not fit the route.
pub(super) async fn begin<'a>(
    under: &'a FilterUnderTest,
    stimulus: &'a Stimulus,
    fault: Option<PhaseFault>,
) -> Result<HalfwayExchange<'a>, String> {
    let exchange = ExchangeCell::new(Box::new(exchange(stimulus)?));
    let passage = Passage::new(Rc::clone(&under.chain), exchange.clone());
    let mut result = ExchangeResult {
        exchange,
        request: None,
        response: SeenResponse::default(),
        refusal: None,
        failure: None,
        lines: Vec::new(),
    };
    set_fault(under, fault, FaultyPhase::Request);
    let in_body = fault_in(under, fault, FaultyPhase::RequestBody);
    let mut body = stimulus.body.stream(BodyError::ClientStalled, in_body);
    let end = match passage.request(&mut body).await {
        Ok(()) => {
            let head = result.exchange.with(seen_head);
            read(&passage, passage.guard_trailers(body))
                .await
                .map(|body| (head, body))
        }
        Err(end) => Err(end),
    };
    let answer = match end {
        Ok((head, (body, trailers))) => {
            result.request = Some(SeenRequest {
                body,
                trailers,
                ..head
            });
            result.exchange.with(|exchange| {
                exchange.response = Some(ResponseHead {
                    status: stimulus.status,
                    headers: stimulus.response_headers.clone(),
                });
            });
            let in_body = fault_in(under, fault, FaultyPhase::ResponseBody);
            let body = stimulus
                .response_body
                .stream(BodyError::UpstreamShort, in_body);
            (body, false)
        }
        Err(ChainEnd::Answer(refusal)) => {
            result.refusal = Some(seen_refusal(&refusal.answer));
            (passage.put_refusal(refusal), true)
        }
        Err(ChainEnd::Failed(error)) => (fail(&mut result, &error), true),
    };
    Ok(HalfwayExchange {
        under,
        stimulus,
        fault,
        passage,
        result,
        answer,
    })
}

/// Pass the response's phases, and the log phase.
pub(super) async fn finish(halfway: HalfwayExchange<'_>) -> ExchangeResult {
    let HalfwayExchange {
        under,
        stimulus,
        fault,
        passage,
        mut result,
        answer: (body, made),
    } = halfway;
    set_fault(under, fault, FaultyPhase::Response);
    let body = passage.response(body, made).await;
    let head = result.exchange.with(|exchange| {
        let head = exchange.response.as_ref();
        head.map(|head| (head.status, head.headers.clone()))
    });
    if let Some((status, headers)) = head {
        result.response.status = status;
        result.response.headers = headers;
    }
    match read(&passage, body).await {
        Ok((body, trailers)) => {
            result.response.body = body;
            result.response.trailers = trailers;
        }
        Err(end) => {
            result.response.cut = true;
            match end {
                ChainEnd::Answer(refusal) => result.refusal = Some(seen_refusal(&refusal.answer)),
                // The endpoint's own fault is that of the case.
                ChainEnd::Failed(_) if stimulus.response_body.cut => {}
                ChainEnd::Failed(error) => result.failure = result.failure.or(failure(&error)),
            }
        }
    }
    set_fault(under, fault, FaultyPhase::Log);
    passage.log().await;
    if fault.is_some() {
        under.worker_filter.set_fault(None);
    }
    result.lines = lines::take();
    note_failure(&mut result);
    result
}

/// The first failure that was logged, and a response of the filter in place of the endpoint's.
fn note_failure(result: &mut ExchangeResult) {
    let mut failures = result.lines.iter();
    let logged = failures.find_map(|line| Some((line.kind.clone()?, line.to_string())));
    result.failure = logged.or(result.failure.take());
    if result.refusal.is_some() || result.failure.is_some() {
        return;
    }
    let code = result.exchange.with(|exchange| {
        let outcome = &exchange.outcome;
        outcome.filter.as_ref().and(outcome.failure.clone())
    });
    result.refusal = code.map(|code| SeenRefusal {
        status: result.response.status,
        code: code.to_string(),
        headers: result.response.headers.clone(),
        body: result.response.body.clone(),
    });
}

fn fail(result: &mut ExchangeResult, error: &RequestError) -> Body {
    result.failure = failure(error);
    let format = ErrorFormat::default();
    result
        .exchange
        .with(|exchange| put_error(exchange, error, &format))
}

/// The failure of a call that led to an error, if one did.
fn failure(error: &RequestError) -> Option<(String, String)> {
    let failure = error.source()?.downcast_ref::<CallFailure>()?;
    Some((failure.kind().to_owned(), failure.to_string()))
}

fn seen_refusal(answer: &FilterResponse) -> SeenRefusal {
    SeenRefusal {
        status: answer.status,
        code: answer.reason.clone(),
        headers: answer.headers.clone(),
        body: answer.body.clone(),
    }
}

/// The request's head, as it goes to the endpoint before its body.
fn seen_head(exchange: &mut Exchange) -> SeenRequest {
    let head = &exchange.request;
    SeenRequest {
        method: head.method.clone(),
        target: head.target.clone(),
        headers: head.headers.clone(),
        body: Bytes::new(),
        trailers: HeaderMap::new(),
    }
}

/// Read a body to its end.
async fn read(passage: &Passage, mut body: Body) -> Result<(Bytes, HeaderMap), ChainEnd> {
    let mut bytes = BytesMut::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let by_filter = passage.take_body_end();
            by_filter.unwrap_or_else(|| RequestError::with_source(error.code(), error).into())
        })?;
        match frame.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((bytes.freeze(), trailers))
}

/// Before a phase: put the fault into the next call, if it is that of this phase.
fn set_fault(under: &FilterUnderTest, fault: Option<PhaseFault>, phase: FaultyPhase) {
    if let Some(fault) = fault {
        let own = (fault.phase == phase).then_some(fault.fault);
        under.worker_filter.set_fault(own);
    }
}

/// Does the same when the body is first read.
fn fault_in(
    under: &FilterUnderTest,
    fault: Option<PhaseFault>,
    phase: FaultyPhase,
) -> impl FnOnce() + 'static {
    let worker_filter = Rc::clone(&under.worker_filter);
    let fault = fault.filter(|fault| fault.phase == phase);
    move || {
        if let Some(fault) = fault {
            worker_filter.set_fault(Some(fault.fault));
        }
    }
}

/// The exchange as the chain gets it.
fn exchange(stimulus: &Stimulus) -> Result<Exchange, String> {
    let target = normalize(stimulus.target.as_str())
        .map_err(|error| format!("`request.path` is not one that the gateway accepts: {error}"))?;
    let target = target
        .as_ref()
        .try_into()
        .unwrap_or_else(|_| stimulus.target.clone());
    let request = RequestHead {
        version: http::Version::HTTP_11,
        method: stimulus.method.clone(),
        target,
        headers: stimulus.headers.clone(),
    };
    let client = Client::new(stimulus.client, 40000, stimulus.scheme.clone());
    let id = RequestId::new(fastrand::u128(..).to_be_bytes());
    let mut exchange = Exchange::new(id, client, request);
    find_route(stimulus, &mut exchange)?;
    for (name, value) in &stimulus.attributes {
        let set = exchange.attributes.set(name.clone().into(), value.clone());
        set.map_err(|_| "`attributes` are more than an exchange can have".to_owned())?;
    }
    Ok(exchange)
}

fn find_route(stimulus: &Stimulus, exchange: &mut Exchange) -> Result<(), String> {
    let spec = RouteSpec {
        base: "",
        path: &stimulus.route,
        methods: &[MethodMatch::Any],
        hosts: &[],
        conditions: &Conditions::default(),
        priority: 0,
    };
    let router = Router::new(&[spec]).map_err(|errors| {
        let messages = errors.iter().map(ToString::to_string);
        format!("`route`: {}", messages.collect::<Vec<_>>().join("; "))
    })?;
    let path = exchange.request.target.path();
    let found = router
        .find("api.example", &exchange.request.method, path)
        .map_err(|_| {
            let route = &stimulus.route;
            format!("`request.path` is `{path}`, which the route `{route}` does not match")
        })?;
    exchange.params = found.params.ranges().collect();
    exchange.route = Some(Arc::new(RouteInfo {
        name: Arc::from(&*stimulus.route),
        pattern: Arc::from(&*stimulus.route),
        params: router.names(found.route).into(),
        ..RouteInfo::default()
    }));
    Ok(())
}
