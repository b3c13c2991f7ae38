//! The data of an instance's store: the exchange, the edits of the running phase, and its account.
//!
//! Edits change the exchange at once, and each puts the replaced value into a journal. If the phase
//! fails, the journal undoes its edits, last edit first; if it succeeds, the journal is dropped. So reads
//! are plain reads, and a filter that edits nothing pays nothing. The effect is that of an overlay: an
//! edit that is followed by a trap never happened.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use smallvec::SmallVec;
use wasmtime::component::ResourceTable;

use super::account::Account;
use super::bindings::types::Message;
use super::chunk::Chunk;
use super::cpu::CpuLimit;
use super::debug_lines::DebugLines;
use super::facts::Advice;
use super::failure::CallFailure;
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::guest_trace::GuestTrace;
use super::memory::MemoryAccount;
use super::output::{Output, StreamKind};
use super::recorder::Recording;
use super::services::Services;
use super::token_check::TokenCheck;
use crate::exchange::{AttributeValue, Exchange};
use crate::limits::RateTicket;
use crate::model::head::ProblemMembers;
use crate::verifier::VerifiedToken;
use crate::wasm::field_names::FieldNameCache;

/// The most streams and timers of WASI that one instance may hold.
const MAX_RESOURCES: usize = 1_000;

/// Which export of the filter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// None: the state has no exchange.
    Idle,
    /// `configure`.
    Configure,
    /// `on-request`.
    Request,
    /// `on-request-body`.
    RequestBody {
        /// Whether the head is still held back.
        head_open: bool,
    },
    /// `on-response`.
    Response,
    /// `on-response-body`.
    ResponseBody {
        /// Whether the head is still held back.
        head_open: bool,
    },
    /// `on-log`.
    Log,
}

/// The data of an instance's store.
#[derive(Debug)]
pub(crate) struct InstanceState {
    /// The filter's name, for logs and scopes.
    pub(crate) name: Arc<str>,
    /// The filter's grants.
    pub(crate) grants: Arc<Grants>,
    /// The filter's own services: its cache and series.
    pub(crate) filter_services: Arc<FilterServices>,
    /// Keys, plans and secrets of the exchange's configuration.
    pub(crate) services: Option<Arc<Services>>,
    /// The exchange, during a phase.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// The export that runs.
    pub(crate) phase: Phase,
    /// The filter's position in the chain.
    pub(crate) position: u16,
    /// Whether the running phase can run again after a wait for the store, newer keys or a callout.
    pub(crate) may_rerun: bool,
    /// The checks of tokens that the filter defined, by their numbers.
    pub(crate) token_checks: Vec<Arc<TokenCheck>>,
    /// The token that the running phase verified.
    pub(crate) token: Option<Arc<VerifiedToken>>,
    /// Whether an edit of the running phase did not fit into a head that the client or the endpoint filled.
    pub(crate) had_no_room: Cell<bool>,
    /// The failure with which the running phase ends although its guest returned: it waits for an event, and runs
    /// again.
    pub(crate) awaited: Option<Box<CallFailure>>,
    /// Members that the running phase adds to the problem body of its refusal.
    pub(crate) members: Option<Box<ProblemMembers>>,
    /// How many tickets the exchange had before the running phase.
    pub(crate) tickets: usize,
    /// The charges of the running phase to the filter's own bounds, if it may have to run again.
    pub(crate) rate_tickets: Vec<RateTicket>,
    /// The chunk of a body, during a body phase.
    pub(crate) chunk: Chunk,
    /// The largest size that edits may give the chunk. Bytes.
    pub(crate) body_cap: u64,
    /// The trailers of the message, in its last body call.
    pub(crate) trailers: Option<HeaderMap>,
    /// The account of the running phase.
    pub(crate) account: Account,
    /// The calls of host functions that a phase begins with: none, except in tests of plugins.
    pub(crate) calls_before: u32,
    /// Undoes the running phase.
    journal: Vec<Undo>,
    /// Field names that the filter used before.
    pub(crate) names: FieldNameCache,
    /// Whether the running phase edited the chunk.
    pub(crate) chunk_edited: bool,
    /// The instance's linear memory.
    pub(crate) memory: MemoryAccount,
    /// The running call's CPU time.
    pub(crate) cpu: CpuLimit,
    /// The filter's advice for the operator, given in `configure`.
    pub(crate) advice: Advice,
    /// Lines of standard output and error.
    pub(crate) output: Output,
    /// The lines of the component's source.
    pub(crate) debug_lines: Arc<DebugLines>,
    /// The record of the running phase, if the engine has a recorder.
    pub(crate) recording: Option<Box<Recording>>,
    /// WASI's streams and the like.
    pub(crate) resources: ResourceTable,
}

/// The value that an edit replaced.
#[derive(Debug)]
pub(crate) enum Undo {
    /// All values of one field.
    Field {
        of: Message,
        name: HeaderName,
        /// The values before the edit.
        values: Values,
    },
    Method(Method),
    Target(PathAndQuery),
    Status(StatusCode),
    Attribute(Cow<'static, str>, Option<AttributeValue>),
    Note(String, Option<Vec<u8>>),
    /// The chunk before the first edit.
    Chunk(Chunk),
    /// How many edits of the response there were.
    ResponseEdits(usize),
}

/// The values of one field.
pub(crate) type Values = SmallVec<[HeaderValue; 1]>;

impl InstanceState {
    /// The state of a new instance.
    #[must_use]
    pub(crate) fn new(
        name: Arc<str>,
        grants: Arc<Grants>,
        own: Arc<FilterServices>,
        debug_lines: Arc<DebugLines>,
        memory: MemoryAccount,
        cpu: CpuLimit,
    ) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        Self {
            output: Output::new(name.clone()),
            debug_lines,
            name,
            grants,
            filter_services: own,
            services: None,
            exchange: None,
            phase: Phase::Idle,
            position: 0,
            may_rerun: false,
            token_checks: Vec::new(),
            token: None,
            had_no_room: Cell::new(false),
            awaited: None,
            members: None,
            tickets: 0,
            rate_tickets: Vec::new(),
            chunk: Chunk::default(),
            body_cap: 0,
            trailers: None,
            advice: Advice::default(),
            account: Account::new(0),
            calls_before: 0,
            journal: Vec::new(),
            names: FieldNameCache::default(),
            chunk_edited: false,
            memory,
            cpu,
            recording: None,
            resources,
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, position: u16, exchange: Box<Exchange>) {
        self.phase = phase;
        self.position = position;
        self.may_rerun = false;
        self.members = None;
        self.had_no_room.set(false);
        self.rate_tickets.clear();
        self.tickets = exchange.tickets.count();
        self.exchange = Some(exchange);
        self.account = Account::new(self.calls_before);
        self.output.begin();
        if let Some(recording) = &mut self.recording {
            recording.begin();
        }
        self.chunk_edited = false;
        self.memory.refused = None;
    }

    /// End a phase: keep its edits, or undo them. Gives the exchange back.
    #[inline]
    pub(crate) fn end_phase(&mut self, keep: bool) -> Option<Box<Exchange>> {
        self.finish_phase(keep);
        self.exchange.take()
    }

    /// The same, but the exchange stays.
    #[inline]
    pub(crate) fn finish_phase(&mut self, keep: bool) {
        let exchange = self.exchange.as_ref();
        self.output.flush(exchange.map(|exchange| &exchange.id));
        if !keep {
            self.undo_to(0);
        } else if !self.journal.is_empty() {
            self.note_edited();
        }
        self.journal.clear();
        self.token = None;
        self.awaited = None;
        self.phase = Phase::Idle;
    }

    /// Write to standard output or error.
    pub(crate) fn write_output(&mut self, kind: StreamKind, bytes: &[u8]) {
        let exchange = self.exchange.as_ref();
        let request = exchange.map(|exchange| &exchange.id);
        self.output.write(kind, bytes, request);
    }

    /// Where the running call failed.
    pub(crate) fn trace(&mut self, error: &wasmtime::Error) -> GuestTrace {
        let said = self.output.take_said();
        GuestTrace::read(error, &self.debug_lines, said, self.recording.is_some())
    }

    /// Keep the names of the request's fields that the running phase edited, if trailers may come.
    fn note_edited(&mut self) {
        let exchange = self.exchange.as_mut();
        let account = exchange.and_then(|exchange| exchange.account.as_mut());
        let Some(edited) = account.and_then(|account| account.edited.as_mut()) else {
            return;
        };
        let names = self.journal.iter().filter_map(|undo| match undo {
            Undo::Field { of, name, .. } if *of == Message::Request => Some(name.clone()),
            _ => None,
        });
        edited.extend(names);
    }

    /// Give back the charges of the running phase, which has to run again.
    pub(crate) fn refund(&mut self) {
        let (Some(services), Some(exchange)) = (&self.services, &mut self.exchange) else {
            return;
        };
        for ticket in exchange.tickets.take_since(self.tickets) {
            services.limits.give_back(ticket);
        }
        for ticket in self.rate_tickets.drain(..) {
            services.rates.give_back(ticket);
        }
    }

    /// Record the value that an edit replaces.
    pub(crate) fn record_undo(&mut self, undo: Undo) {
        self.journal.push(undo);
    }

    /// The edits of the running phase so far, as what undoes them.
    #[must_use]
    pub(super) fn journal(&self) -> &[Undo] {
        &self.journal
    }

    /// The length of the journal, as a mark for [`Self::undo_to`].
    #[must_use]
    pub(crate) fn journal_length(&self) -> usize {
        self.journal.len()
    }

    /// Undo the edits since a mark.
    pub(crate) fn undo_to(&mut self, mark: usize) {
        while self.journal.len() > mark {
            if let Some(undo) = self.journal.pop() {
                self.undo(undo);
            }
        }
    }

    /// The fields of a message's head, or its trailers, if the exchange has them.
    #[must_use]
    pub(crate) fn fields(&self, of: Message) -> Option<&HeaderMap> {
        let exchange = self.exchange.as_ref()?;
        match of {
            Message::Request => Some(&exchange.request.headers),
            Message::Response => exchange.response.as_ref().map(|head| &head.headers),
            Message::Trailers => self.trailers.as_ref(),
        }
    }

    /// The same, for edits.
    pub(crate) fn fields_mut(&mut self, of: Message) -> Option<&mut HeaderMap> {
        fields_mut(of, self.exchange.as_mut()?, &mut self.trailers)
    }

    /// Whether the running phase may edit these fields.
    #[must_use]
    pub(crate) fn may_edit(&self, of: Message) -> bool {
        match of {
            Message::Request => matches!(
                self.phase,
                Phase::Request | Phase::RequestBody { head_open: true }
            ),
            Message::Response => matches!(
                self.phase,
                Phase::Response | Phase::ResponseBody { head_open: true }
            ),
            Message::Trailers => {
                let gets_body = matches!(
                    self.phase,
                    Phase::RequestBody { .. } | Phase::ResponseBody { .. }
                );
                gets_body && self.trailers.is_some()
            }
        }
    }

    fn undo(&mut self, undo: Undo) {
        let Some(exchange) = self.exchange.as_mut() else {
            return;
        };
        match undo {
            Undo::Field { of, name, values } => {
                if let Some(fields) = fields_mut(of, exchange, &mut self.trailers) {
                    fields.remove(&name);
                    for value in values {
                        fields.append(name.clone(), value);
                    }
                }
            }
            Undo::Chunk(chunk) => self.chunk = chunk,
            Undo::ResponseEdits(length) => exchange.response_edits.edits.truncate(length),
            Undo::Note(key, old) => exchange.notes.restore(self.position, key, old),
            Undo::Attribute(name, old) => exchange.attributes.restore(name, old),
            Undo::Method(method) => exchange.request.method = method,
            Undo::Target(target) => exchange.request.target = target,
            Undo::Status(status) => {
                if let Some(response) = &mut exchange.response {
                    response.status = status;
                }
            }
        }
    }
}

fn fields_mut<'a>(
    of: Message,
    exchange: &'a mut Exchange,
    trailers: &'a mut Option<HeaderMap>,
) -> Option<&'a mut HeaderMap> {
    match of {
        Message::Request => Some(&mut exchange.request.headers),
        Message::Response => exchange.response.as_mut().map(|head| &mut head.headers),
        Message::Trailers => trailers.as_mut(),
    }
}
