//! The lines that wait for a sink's thread. The queue is bounded in bytes, and a push never waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::outlet::{Outlet, count_lines};

/// The next step of a sink's thread.
#[derive(Debug)]
pub(crate) enum SinkStep {
    /// Write to this outlet from now on.
    Outlet(Outlet),
    Lines(Vec<u8>),
    /// Nothing is queued, or the time is over.
    Nothing,
    End,
}

/// The queue of one sink.
#[derive(Debug)]
pub(crate) struct SinkQueue {
    max_bytes: usize,
    waiting: Mutex<QueuedLines>,
    filled: Condvar,
    /// The number of lost lines.
    pub(crate) lost_lines: Arc<AtomicU64>,
    written: AtomicU64,
    wrote_last: AtomicBool,
}

#[derive(Debug, Default)]
struct QueuedLines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    outlet: Option<Outlet>,
    closed: bool,
    given_up: bool,
    /// Whether the thread has seen that the queue is empty.
    is_idle: bool,
}

impl SinkQueue {
    /// A queue of this many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            max_bytes: most,
            waiting: Mutex::default(),
            filled: Condvar::new(),
            lost_lines: Arc::default(),
            written: AtomicU64::new(0),
            wrote_last: AtomicBool::new(true),
        }
    }

    /// Queues whole lines, or counts them as lost. Never waits.
    pub(crate) fn push(&self, lines: Vec<u8>) {
        let mut waiting = self.waiting.lock();
        if waiting.given_up || waiting.bytes + lines.len() > self.max_bytes {
            drop(waiting);
            self.count_lost(count_lines(&lines));
            return;
        }
        waiting.bytes += lines.len();
        waiting.lines.push_back(lines);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Changes the outlet.
    pub(crate) fn replace(&self, outlet: Outlet) {
        self.waiting.lock().outlet = Some(outlet);
        self.filled.notify_one();
    }

    /// Closes the queue: no more lines follow.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.filled.notify_one();
    }

    /// Counts the queued lines as lost, because nobody waits for the thread any more. Returns
    /// their number.
    pub(crate) fn give_up(&self) -> u64 {
        let mut waiting = self.waiting.lock();
        waiting.given_up = true;
        let lost = waiting
            .lines
            .drain(..)
            .map(|lines| count_lines(&lines))
            .sum();
        drop(waiting);
        self.count_lost(lost);
        lost
    }

    /// The next step. Waits for it, at most for this time.
    pub(crate) fn next(&self, limit: Option<Duration>) -> SinkStep {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(outlet) = waiting.outlet.take() {
                return SinkStep::Outlet(outlet);
            }
            if let Some(lines) = waiting.lines.pop_front() {
                waiting.bytes -= lines.len();
                waiting.is_idle = false;
                return SinkStep::Lines(lines);
            }
            if !std::mem::replace(&mut waiting.is_idle, true) {
                return SinkStep::Nothing;
            }
            if waiting.closed {
                return SinkStep::End;
            }
            match limit {
                None => self.filled.wait(&mut waiting),
                Some(limit) => {
                    if self.filled.wait_for(&mut waiting, limit).timed_out() {
                        return SinkStep::Nothing;
                    }
                }
            }
        }
    }

    /// Whether the thread should go on waiting for its destination's reader.
    pub(crate) fn is_worth_waiting(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.outlet.is_none() && !waiting.given_up
    }

    pub(crate) fn count_lost(&self, lines: u64) {
        if lines > 0 {
            self.lost_lines.fetch_add(lines, Ordering::Relaxed);
            self.wrote_last.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.wrote_last.store(true, Ordering::Relaxed);
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether the last event of a line was that it was written, and not lost.
    pub(crate) fn last_write_succeeded(&self) -> bool {
        self.wrote_last.load(Ordering::Relaxed)
    }
}
