//! Records what filters do in each phase: host calls, log lines, edits, the verdict or the failure.
//!
//! Only an engine that was made with a [`Recorder`] records (`windlass plugin dev`): then every host function is linked
//! through a wrapper that writes its call down ([`text`]), and each phase sends one [`PhaseRecord`]. An engine without
//! one links the bare functions, so that a gateway that serves pays nothing for them.
//!
//! It promises that a record is bounded, that a slow reader delays no request (records are dropped and counted), and
//! that no value of a key, a token, a secret or a credential is in it.

mod edits;
mod shown;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

pub(crate) use edits::RecordedEdit;
pub(super) use shown::{Guest, Shown, ShownValues};
pub(super) use text::{CallLabel, CallText};

use super::failure::CallFailure;
use super::output::{StreamKind, one_line};
use super::state::{InstanceState, Phase};
use super::verdict::{BodyMode, BodyVerdict, HeadVerdict};
use crate::exchange::Exchange;

/// The most records that wait for their reader.
const MAX_WAITING: usize = 1024;

/// The most steps of one phase that are kept.
const MAX_STEPS: usize = 256;

/// The longest line that is kept. Bytes.
const MAX_LINE: usize = 2 * 1024;

/// Takes the records of all filters of an engine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    records: SyncSender<PhaseRecord>,
    lost: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder, and where its records come out.
    #[must_use]
    pub(crate) fn new() -> (Self, Receiver<PhaseRecord>) {
        let (records, reader) = sync_channel(MAX_WAITING);
        let recorder = Self {
            records,
            lost: Arc::default(),
        };
        (recorder, reader)
    }

    /// How many records were dropped, because nobody read them in time.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn send(&self, record: PhaseRecord) {
        if self.records.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One phase of one exchange.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PhaseRecord {
    /// The exchange's id.
    pub(crate) request: String,
    pub(crate) filter: Arc<str>,
    /// The filter's place in the chain.
    pub(crate) position: u16,
    /// The phase's name: `on-request`.
    pub(crate) phase: &'static str,
    /// The length of the chunk that a body phase got. Bytes.
    pub(crate) chunk: Option<u64>,
    pub(crate) took: Duration,
    /// Host calls and lines, in their order.
    pub(crate) steps: Vec<RecordedStep>,
    /// Further steps that were not kept.
    pub(crate) left_out: u32,
    pub(crate) edits: Vec<RecordedEdit>,
    pub(crate) end: PhaseEnd,
}

/// One thing that a filter did in a phase.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RecordedStep {
    Call(RecordedCall),
    Line(RecordedLine),
}

/// A call of a host function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordedCall {
    /// Interface and function: `exchange.header`.
    pub(crate) function: Arc<str>,
    /// The arguments as text; secrets by their lengths.
    pub(crate) arguments: String,
    /// The result as text, or why the call trapped.
    pub(crate) result: Result<String, String>,
    pub(crate) took: Duration,
}

/// A line that a filter wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedLine {
    /// A level of the log, `stdout` or `stderr`.
    pub(crate) source: &'static str,
    pub(crate) text: String,
}

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PhaseEnd {
    /// With this verdict.
    Verdict(String),
    /// It failed, and its edits were undone.
    Failed {
        /// A stable word.
        kind: &'static str,
        text: String,
        /// The guest's stack, a line for each frame.
        backtrace: String,
    },
    /// It waits for an event, and runs again.
    Waits(String),
}

/// The record of the running phase of one instance.
#[derive(Debug)]
pub(crate) struct Recording {
    recorder: Recorder,
    began: Instant,
    steps: Vec<RecordedStep>,
    left_out: u32,
    /// The line that standard output or error has not ended yet.
    unfinished: Vec<u8>,
}

impl Recording {
    /// Nothing recorded so far.
    #[must_use]
    pub(super) fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            began: Instant::now(),
            steps: Vec::new(),
            left_out: 0,
            unfinished: Vec::new(),
        }
    }

    /// A phase begins.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
        self.steps.clear();
        self.left_out = 0;
        self.unfinished.clear();
    }

    /// The guest wrote a line.
    pub(super) fn line(&mut self, source: &'static str, text: &str) {
        let text = one_line(text.trim_end());
        if !text.is_empty() {
            let end = text.floor_char_boundary(MAX_LINE);
            let text = text.get(..end).unwrap_or_default().to_owned();
            self.push(RecordedStep::Line(RecordedLine { source, text }));
        }
    }

    /// The guest wrote to standard output or error. A line that is written in parts is one line of the record.
    pub(super) fn output(&mut self, kind: StreamKind, bytes: &[u8]) {
        let source = match kind {
            StreamKind::Out => "stdout",
            StreamKind::Err => "stderr",
        };
        self.unfinished
            .extend_from_slice(bytes.get(..MAX_LINE).unwrap_or(bytes));
        if bytes.ends_with(b"\n") || self.unfinished.len() > MAX_LINE {
            self.flush(source);
        }
    }

    /// The phase ends, with or without the end of a line.
    fn flush(&mut self, source: &'static str) {
        let text = std::mem::take(&mut self.unfinished);
        for line in String::from_utf8_lossy(&text).lines() {
            self.line(source, line);
        }
    }

    fn push(&mut self, step: RecordedStep) {
        if self.steps.len() < MAX_STEPS {
            self.steps.push(step);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

impl InstanceState {
    /// Write down a call of a host function.
    pub(super) fn record_call(&mut self, call: RecordedCall) {
        if let Some(recording) = &mut self.recording {
            recording.push(RecordedStep::Call(call));
        }
    }

    /// The same for a phase on a fiber, which keeps the exchange.
    pub(super) fn record_on_fiber<V: Decided>(
        &mut self,
        phase: Phase,
        edits: (Vec<RecordedEdit>, Option<u64>),
        result: &Result<V, CallFailure>,
    ) {
        if let Some(exchange) = self.exchange.take() {
            self.record_phase(phase, &exchange, edits, result);
            self.exchange = Some(exchange);
        }
    }

    /// Write down the end of a phase. `edits`: those that it made, whether they are kept or not.
    pub(super) fn record_phase<V: Decided>(
        &mut self,
        phase: Phase,
        exchange: &Exchange,
        edits: (Vec<RecordedEdit>, Option<u64>),
        result: &Result<V, CallFailure>,
    ) {
        let (filter, position) = (Arc::clone(&self.name), self.position);
        let Some(recording) = &mut self.recording else {
            return;
        };
        recording.flush("stderr");
        let (edits, chunk) = edits;
        let is_body = matches!(
            phase,
            Phase::RequestBody { .. } | Phase::ResponseBody { .. }
        );
        let record = PhaseRecord {
            request: exchange.id.as_str().to_owned(),
            filter,
            position,
            phase: name(phase),
            chunk: chunk.filter(|_| is_body),
            took: recording.began.elapsed(),
            steps: std::mem::take(&mut recording.steps),
            left_out: recording.left_out,
            edits,
            end: match result {
                Ok(verdict) => PhaseEnd::Verdict(verdict.words(exchange)),
                Err(failure) => end_of(failure),
            },
        };
        recording.recorder.send(record);
    }
}

fn end_of(failure: &CallFailure) -> PhaseEnd {
    match failure {
        CallFailure::Share(_) | CallFailure::NewerKeys(_) | CallFailure::Callout(_) => {
            PhaseEnd::Waits(failure.to_string())
        }
        failure => PhaseEnd::Failed {
            kind: failure.kind(),
            text: failure.to_string(),
            backtrace: failure.backtrace().to_owned(),
        },
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Configure => "configure",
        Phase::Request => "on-request",
        Phase::RequestBody { .. } => "on-request-body",
        Phase::Response => "on-response",
        Phase::ResponseBody { .. } => "on-response-body",
        Phase::Log => "on-log",
    }
}

/// A verdict that can be told in words.
pub(crate) trait Decided {
    fn words(&self, exchange: &Exchange) -> String;
}

impl Decided for () {
    fn words(&self, _: &Exchange) -> String {
        "done".to_owned()
    }
}

impl Decided for HeadVerdict {
    fn words(&self, exchange: &Exchange) -> String {
        match self {
            Self::Next(mode) => {
                let mut words = match mode {
                    BodyMode::Skip => "next".to_owned(),
                    BodyMode::Chunks => "next, with the body in chunks".to_owned(),
                    BodyMode::Whole(max) => format!("next, with the whole body up to {max} bytes"),
                };
                if let Some(upstream) = &exchange.hint().upstream {
                    words.push_str(", to upstream `");
                    words.push_str(upstream);
                    words.push('`');
                }
                words
            }
            Self::Respond(answer) => {
                format!("respond {} `{}`", answer.status.as_u16(), answer.reason)
            }
        }
    }
}

impl Decided for BodyVerdict {
    fn words(&self, _: &Exchange) -> String {
        match self {
            Self::Next => "next".to_owned(),
            Self::More => "more".to_owned(),
            Self::Done => "done".to_owned(),
            Self::Respond(answer) => {
                format!("respond {} `{}`", answer.status.as_u16(), answer.reason)
            }
        }
    }
}
