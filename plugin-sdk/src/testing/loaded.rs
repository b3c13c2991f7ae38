//! A filter with its settings, and the calls of its phases.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::data::LogLine;
use super::exchange::Exchange;
use super::gateway::{Gateway, Running};
use super::rules::{MAX_BODY, MAX_FIELDS, MAX_HEAD, field_name, field_value};
use super::state::{Phase, State};
use crate::bindings::lifecycle::exports::windlass::filter::lifecycle::Setup;
use crate::{
    BodyMode, ChunkVerdict, Describe, Failure, Filter, LocalResponse, OnLog, OnRequest,
    OnRequestBody, OnResponse, OnResponseBody, Piece, Request, RequestVerdict, Response,
    ResponseVerdict,
};

/// A filter that a fake gateway loaded. The filter itself is behind a `Deref`.
///
/// A phase that fails gives its [`Failure`], and has edited nothing. The gateway's own reasons to fail a phase (a
/// response that cannot be sent, an upstream that is not granted) are failures with the reason `filter_failed`, too.
pub struct Loaded<F> {
    filter: F,
    setup: Setup,
    gateway: RefCell<Gateway>,
    log: Vec<LogLine>,
}

/// The end of a body that passed a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyEnd {
    /// It went on, as these bytes.
    Passed(Vec<u8>),
    /// The filter responded instead.
    Responded(LocalResponse),
}

impl<F> Deref for Loaded<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.filter
    }
}

impl<F> fmt::Debug for Loaded<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = &mut formatter.debug_struct("Loaded");
        fields.field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl<F: Filter> Loaded<F> {
    pub(super) fn new(filter: F, setup: Setup, gateway: Gateway, log: Vec<LogLine>) -> Self {
        Self {
            filter,
            setup,
            gateway: RefCell::new(gateway),
            log,
        }
    }

    /// The lines that `configure` wrote to the log.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    /// The attributes that it declared to provide always.
    #[must_use]
    pub fn provides(&self) -> &[String] {
        &self.setup.provides
    }

    /// The attributes that it declared to require.
    #[must_use]
    pub fn requires(&self) -> &[String] {
        &self.setup.requires
    }

    /// The warnings about its settings: a JSON pointer and a text each.
    #[must_use]
    pub fn warnings(&self) -> Vec<(String, String)> {
        self.gateway.borrow().warnings.clone()
    }

    /// The value of a series: the sum of what was added for these label values. Zero if nothing was.
    ///
    /// # Panics
    ///
    /// If the filter declared no such series.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.samples(name, labels).0
    }

    /// How many values a series observed for these label values.
    ///
    /// # Panics
    ///
    /// If the filter declared no such series.
    #[must_use]
    pub fn observations(&self, name: &str, labels: &[&str]) -> u64 {
        self.samples(name, labels).1
    }

    fn samples(&self, name: &str, labels: &[&str]) -> (f64, u64) {
        let mut declared = self.setup.series.iter();
        let index = declared.position(|series| series.name == name);
        let index = index.unwrap_or_else(|| panic!("the filter declared no series `{name}`"));
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let gateway = self.gateway.borrow();
        let series = u32::try_from(index).ok();
        let samples = series.and_then(|series| gateway.samples.get(&series));
        samples
            .and_then(|samples| samples.get(&labels).copied())
            .unwrap_or_default()
    }

    /// Moves the gateway's clock, for what expires and what fills again.
    pub fn advance(&self, time: Duration) {
        self.gateway.borrow_mut().advance(time);
    }

    /// Runs a phase; then keeps its edits, or undoes them.
    fn run<V>(
        &self,
        exchange: &mut Exchange,
        phase: Phase,
        call: impl Fn(&F) -> Result<V, Failure>,
        check: impl Fn(V, &Gateway) -> Result<V, Failure>,
    ) -> Result<V, Failure> {
        if let Some(missing) = self.missing_attribute(exchange) {
            let detail = format!(
                "attribute `{missing}`, which it requires, was not set by the filters before it"
            );
            return Err(Failure::new("missing_attribute", detail));
        }
        loop {
            let before = exchange.clone();
            exchange.claims = None;
            exchange.problem_members = None;
            let taken = self.gateway.take();
            let mut lent = Lent {
                running: Some(Running::begin(State::new(
                    phase,
                    taken,
                    Some(exchange.clone()),
                ))),
                home: &self.gateway,
            };
            let verdict = call(&self.filter);
            let Some(mut state) = lent.end() else {
                return verdict;
            };
            let after = state.exchange.take().unwrap_or_default();
            let verdict = verdict.and_then(|verdict| check(verdict, &state.gateway));
            let is_kept = verdict.is_ok() && !state.awaits;
            let awaits = state.awaits;
            let (answers, log) = (after.answers.clone(), after.log.clone());
            *exchange = if is_kept { after } else { before };
            exchange.answers = answers;
            exchange.log = log;
            exchange.log.append(&mut state.log);
            self.gateway.replace(state.gateway);
            if !awaits {
                return verdict;
            }
        }
    }

    fn missing_attribute(&self, exchange: &Exchange) -> Option<&String> {
        let mut required = self.setup.requires.iter();
        required.find(|name| exchange.find_attribute(name).is_none())
    }

    /// Makes the edits of the response that the filter gave before there was one: those of its `Setup`, and those of
    /// its request phase. [`on_response`](Self::on_response) does so itself.
    ///
    /// # Errors
    ///
    /// The head would be too large.
    pub fn edit_response(&self, exchange: &mut Exchange) -> Result<(), Failure> {
        let edits = self.gateway.borrow().response_edits.clone();
        let edits = edits.into_iter().chain(exchange.response_edits.drain(..));
        let edits: Vec<_> = edits.collect();
        let Some((_, fields)) = &mut exchange.response else {
            return Ok(());
        };
        let before = fields.clone();
        for edit in edits {
            if !edit.apply(fields) {
                *fields = before;
                let text = format!(
                    "an edit of the response would make a head of more than {MAX_HEAD} bytes or {MAX_FIELDS} fields"
                );
                return Err(Failure::new("filter_failed", text));
            }
        }
        Ok(())
    }

    /// Passes a body in chunks through a body phase, as the mode of the head's verdict says.
    fn pass(
        exchange: &mut Exchange,
        mode: Option<BodyMode>,
        chunks: &[&[u8]],
        mut call: impl FnMut(&mut Exchange, &[u8], bool, bool) -> Result<ChunkVerdict, Failure>,
    ) -> Result<BodyEnd, Failure> {
        let whole = chunks.concat();
        let (chunks, is_whole) = match mode {
            None | Some(BodyMode::Skip) => return Ok(BodyEnd::Passed(whole)),
            Some(BodyMode::Chunks) => (chunks.iter().map(|chunk| chunk.to_vec()).collect(), false),
            Some(BodyMode::Whole(max)) => {
                let max = usize::try_from(max).unwrap_or(usize::MAX).min(MAX_BODY);
                if whole.len() > max {
                    let text = format!("the body has more than {max} bytes");
                    return Err(Failure::new("body_too_large", text));
                }
                (vec![whole], true)
            }
        };
        let chunks: Vec<Vec<u8>> = match chunks.is_empty() {
            true => vec![Vec::new()],
            false => chunks,
        };
        let (mut passed, mut kept) = (Vec::new(), Vec::new());
        let count = chunks.len();
        let mut chunks = chunks.into_iter().enumerate();
        while let Some((index, chunk)) = chunks.next() {
            let mut joined = std::mem::take(&mut kept);
            joined.extend(chunk);
            let last = index + 1 == count;
            match call(exchange, &joined, last, is_whole)? {
                ChunkVerdict::More if !last => kept = std::mem::take(&mut exchange.chunk),
                ChunkVerdict::Next | ChunkVerdict::More => passed.append(&mut exchange.chunk),
                ChunkVerdict::Done => {
                    passed.append(&mut exchange.chunk);
                    passed.extend(chunks.by_ref().flat_map(|(_, chunk)| chunk));
                }
                ChunkVerdict::Respond(response) => return Ok(BodyEnd::Responded(response)),
            }
        }
        Ok(BodyEnd::Passed(passed))
    }
}

/// The gateway's state, lent to the running phase. It comes home also if the phase panics.
struct Lent<'a> {
    running: Option<Running>,
    home: &'a RefCell<Gateway>,
}

impl Lent<'_> {
    fn end(&mut self) -> Option<State> {
        self.running.take().map(Running::end)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.end() {
            self.home.replace(state.gateway);
        }
    }
}

impl<F: OnRequest> Loaded<F> {
    /// Calls [`OnRequest::on_request`].
    ///
    /// # Errors
    ///
    /// The phase failed.
    pub fn on_request(&self, exchange: &mut Exchange) -> Result<RequestVerdict, Failure> {
        let call = |filter: &F| filter.on_request(&mut Request::current());
        let verdict = self.run(exchange, Phase::Request, call, |verdict, gateway| {
            Ok(match verdict {
                RequestVerdict::Respond(response) => RequestVerdict::Respond(sent(response)?),
                RequestVerdict::Route((hint, mode)) => {
                    if let Some(name) = hint.upstream.as_ref().filter(|name| !gateway.grants.upstream(name)) {
                        return Err(Failure::new("filter_failed", format!("routed to upstream `{name}`, which it is not granted: add the upstream to `upstreams` in its `allow`")));
                    }
                    RequestVerdict::Route((hint, mode))
                }
                RequestVerdict::Next(mode) => RequestVerdict::Next(mode),
            })
        })?;
        exchange.request_body = match &verdict {
            RequestVerdict::Next(mode) | RequestVerdict::Route((_, mode)) => Some(*mode),
            RequestVerdict::Respond(_) => None,
        };
        Ok(verdict)
    }
}

impl<F: OnRequestBody> Loaded<F> {
    /// Calls [`OnRequestBody::on_request_body`] once, for this chunk. The chunk is in [`Exchange::chunk`] afterwards.
    ///
    /// # Errors
    ///
    /// The phase failed.
    pub fn on_request_body(
        &self,
        exchange: &mut Exchange,
        chunk: &[u8],
        last: bool,
    ) -> Result<ChunkVerdict, Failure> {
        let head_open = matches!(exchange.request_body, Some(BodyMode::Whole(_)));
        let phase = Phase::RequestBody(head_open);
        exchange.chunk = chunk.to_vec();
        let hidden = exchange.trailers.take_if(|_| !last);
        let verdict = self.run(
            exchange,
            phase,
            |filter| {
                let mut piece = Piece::current(chunk.len() as u64, last);
                filter.on_request_body(&mut Request::current(), &mut piece)
            },
            |verdict, _| checked_chunk(verdict),
        );
        if hidden.is_some() {
            exchange.trailers = hidden;
        }
        verdict
    }

    /// Passes a whole body, which arrives in these chunks, as the gateway would after the verdict of
    /// [`on_request`](Self::on_request): chunk by chunk, at once, or not at all.
    ///
    /// # Errors
    ///
    /// A call failed, or the body is larger than the filter takes.
    pub fn request_body(
        &self,
        exchange: &mut Exchange,
        chunks: &[&[u8]],
    ) -> Result<BodyEnd, Failure> {
        let mode = exchange.request_body;
        Self::pass(exchange, mode, chunks, |exchange, chunk, last, _| {
            self.on_request_body(exchange, chunk, last)
        })
    }
}

impl<F: OnResponse> Loaded<F> {
    /// Makes the edits of the response that the filter gave before, and calls [`OnResponse::on_response`].
    ///
    /// # Errors
    ///
    /// The phase failed.
    pub fn on_response(&self, exchange: &mut Exchange) -> Result<ResponseVerdict, Failure> {
        self.edit_response(exchange)?;
        let call = |filter: &F| filter.on_response(&mut Response::current());
        let verdict = self.run(exchange, Phase::Response, call, |verdict, _| {
            Ok(match verdict {
                ResponseVerdict::Replace(response) => ResponseVerdict::Replace(sent(response)?),
                ResponseVerdict::Next(mode) => ResponseVerdict::Next(mode),
            })
        })?;
        exchange.response_body = match &verdict {
            ResponseVerdict::Next(mode) => Some(*mode),
            ResponseVerdict::Replace(_) => None,
        };
        Ok(verdict)
    }
}

impl<F: OnResponseBody> Loaded<F> {
    /// Calls [`OnResponseBody::on_response_body`] once, for this chunk.
    ///
    /// # Errors
    ///
    /// The phase failed.
    pub fn on_response_body(
        &self,
        exchange: &mut Exchange,
        chunk: &[u8],
        last: bool,
    ) -> Result<ChunkVerdict, Failure> {
        let head_open = matches!(exchange.response_body, Some(BodyMode::Whole(_)));
        let phase = Phase::ResponseBody(head_open);
        exchange.chunk = chunk.to_vec();
        let hidden = exchange.trailers.take_if(|_| !last);
        let verdict = self.run(
            exchange,
            phase,
            |filter| {
                let mut piece = Piece::current(chunk.len() as u64, last);
                filter.on_response_body(&mut Response::current(), &mut piece)
            },
            |verdict, _| checked_chunk(verdict),
        );
        if hidden.is_some() {
            exchange.trailers = hidden;
        }
        verdict
    }

    /// Passes a whole body, as [`request_body`](Self::request_body) does.
    ///
    /// # Errors
    ///
    /// A call failed, or the body is larger than the filter takes.
    pub fn response_body(
        &self,
        exchange: &mut Exchange,
        chunks: &[&[u8]],
    ) -> Result<BodyEnd, Failure> {
        let mode = exchange.response_body;
        Self::pass(exchange, mode, chunks, |exchange, chunk, last, _| {
            self.on_response_body(exchange, chunk, last)
        })
    }
}

impl<F: OnLog> Loaded<F> {
    /// Calls [`OnLog::on_log`]. Give the exchange its `outcome.*` attributes before.
    pub fn on_log(&self, exchange: &mut Exchange) {
        let call = |filter: &F| {
            filter.on_log(&Request::current(), &Response::current());
            Ok(())
        };
        // A log phase that lacks an attribute is not called, and has nothing else to fail by.
        drop(self.run(exchange, Phase::Log, call, |(), _| Ok(())));
    }
}

impl<F: Describe> Loaded<F> {
    /// The filter's addition to the description of its APIs, as JSON.
    #[must_use]
    pub fn contribution(&self) -> String {
        self.filter.contribution().into_json()
    }
}

fn checked_chunk(verdict: ChunkVerdict) -> Result<ChunkVerdict, Failure> {
    Ok(match verdict {
        ChunkVerdict::Respond(response) => ChunkVerdict::Respond(sent(response)?),
        other => other,
    })
}

/// The response, if the gateway can send it.
fn sent(mut response: LocalResponse) -> Result<LocalResponse, Failure> {
    let failed = |why: String| Err(Failure::new("filter_failed", why));
    if response.reason == "filter_failed" {
        return failed(String::from_utf8_lossy(&response.body).into_owned());
    }
    let why = "gave a response that cannot be sent";
    if !(200..=599).contains(&response.status) {
        return failed(format!(
            "{why}: status {} is not in 200 to 599",
            response.status
        ));
    }
    let mut size = 0;
    for (index, (name, value)) in response.headers.iter().enumerate() {
        size += name.len() + value.len() + 4;
        if size > MAX_HEAD || index >= MAX_FIELDS {
            return failed(format!(
                "{why}: its head has more than {MAX_HEAD} bytes or {MAX_FIELDS} fields"
            ));
        }
        if field_name(name).is_err() {
            return failed(format!(
                "{why}: field `{name}` is not a field name, or belongs to the gateway"
            ));
        }
        if field_value(value).is_err() {
            return failed(format!(
                "{why}: the value of field `{name}` holds a byte that no field may hold"
            ));
        }
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !(1..=64).contains(&response.reason.len()) || !response.reason.bytes().all(is_word) {
        "refused".clone_into(&mut response.reason);
    }
    Ok(response)
}
