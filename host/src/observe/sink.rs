//! Sinks: lines that go to a file, a pipe or a terminal, with one thread for each destination.
//!
//! Workers and the admin thread push lines; the sink's own thread writes them. It promises
//! - that a push never waits: if the destination takes nothing and the queue is full, or if a
//!   write fails, lines are dropped and counted;
//! - that only whole lines are written, none torn and none joined to another ([`outlet`]);
//! - that a destination that fails, or fails on and off, is reported without a flood ([`outage`]);
//! - that the end of the process waits for a reader only as long as the reader makes progress.
//!
//! It deliberately knows nothing about the content of a line.

mod outage;
mod outlet;
mod queue;
mod rotation;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use outage::{Outage, OutageReport};
use queue::SinkStep;

pub(crate) use outlet::{Outlet, OutletError, Target, cure};
pub(crate) use queue::SinkQueue;
pub(crate) use rotation::{Rotation, RotationRule};

/// How long the end of the process waits for a destination that takes nothing.
const SHUTDOWN_IDLE_WAIT: Duration = Duration::from_secs(1);

/// How long the end of the process waits for a slow destination.
const SHUTDOWN_MAX_WAIT: Duration = Duration::from_secs(10);

/// The settings of a sink.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SinkSettings {
    /// The thread's name.
    pub(crate) thread: &'static str,
    /// The name of the lines in messages: "the access log".
    pub(crate) name: &'static str,
    /// The limit of the queue. Bytes.
    pub(crate) max_bytes: usize,
    /// Whether a failure is reported when it begins. The gateway's own log cannot report its own.
    pub(crate) reports_failure: bool,
}

/// The queue, and the thread that writes.
#[derive(Debug)]
pub(crate) struct Sink {
    settings: SinkSettings,
    queue: Arc<SinkQueue>,
    ended: Mutex<Receiver<()>>,
}

impl Sink {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn start(
        settings: SinkSettings,
        outlet: Outlet,
        rotation: Option<Rotation>,
    ) -> io::Result<Self> {
        let queue = Arc::new(SinkQueue::new(settings.max_bytes));
        let (end, ended) = sync_channel(1);
        let mut writer = Writer {
            settings,
            queue: Arc::clone(&queue),
            outage: Outage::default(),
            reported_lost: 0,
            rotation,
        };
        std::thread::Builder::new()
            .name(settings.thread.into())
            .spawn(move || {
                writer.run(outlet);
                // The receiver may have given up.
                let _ = end.send(());
            })?;
        Ok(Self {
            settings,
            queue,
            ended: Mutex::new(ended),
        })
    }

    /// The queue that takes lines.
    #[must_use]
    pub(crate) fn input(&self) -> Arc<SinkQueue> {
        Arc::clone(&self.queue)
    }

    /// The number of lost lines.
    #[must_use]
    pub(crate) fn lost_lines(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.queue.lost_lines)
    }

    /// Writes to this outlet from now on, even if the thread waits for the reader of the old one.
    pub(crate) fn replace(&self, outlet: Outlet) {
        self.queue.replace(outlet);
    }

    /// Writes the queued lines, unless the reader takes nothing, and ends.
    pub(crate) fn finish(&self) {
        self.queue.close();
        let ended = self.ended.lock();
        let limit = Instant::now() + SHUTDOWN_MAX_WAIT;
        let mut written = self.queue.written();
        loop {
            match ended.recv_timeout(SHUTDOWN_IDLE_WAIT) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.queue.written();
            if now == written || Instant::now() >= limit {
                break;
            }
            written = now;
        }
        let lost = self.queue.give_up();
        if lost > 0 && self.settings.reports_failure {
            tracing::error!(
                lost,
                "the last lines of {} are lost, because its reader takes nothing; restart the reader, or write to a file",
                self.settings.name
            );
        }
    }
}

/// The state of the thread.
struct Writer {
    settings: SinkSettings,
    queue: Arc<SinkQueue>,
    outage: Outage,
    /// The number of lost lines that an outage has reported.
    reported_lost: u64,
    rotation: Option<Rotation>,
}

impl Writer {
    fn run(&mut self, mut outlet: Outlet) {
        loop {
            match self.queue.next(self.outage.wait(Instant::now())) {
                SinkStep::Outlet(next) => self.apply_step(&mut outlet, next),
                SinkStep::Lines(lines) => self.write(&mut outlet, &lines),
                SinkStep::Nothing => self.report_recovery(),
                SinkStep::End => return,
            }
        }
    }

    fn apply_step(&mut self, outlet: &mut Outlet, next: Outlet) {
        let old = std::mem::replace(outlet, next);
        if old.is_mid_line() {
            self.queue.count_lost(1);
        }
    }

    fn write(&mut self, outlet: &mut Outlet, lines: &[u8]) {
        let rotation = self.rotation.as_mut();
        if let Some(next) = rotation.and_then(|one| one.rotate_if_due(outlet, lines.len())) {
            self.apply_step(outlet, next);
        }
        let queue = Arc::clone(&self.queue);
        let wrote = outlet.write(lines, &mut || {
            self.note_overflow();
            queue.is_worth_waiting()
        });
        match wrote {
            Ok(()) => queue.note_written(),
            Err((lost, failure)) => {
                queue.count_lost(lost);
                self.reported_lost = queue.lost_lines.load(Ordering::Relaxed);
                self.record_failure(&failure);
            }
        }
        self.note_overflow();
    }

    /// Reports lines that were lost because the queue is full: the destination is too slow.
    fn note_overflow(&mut self) {
        let lost = self.queue.lost_lines.load(Ordering::Relaxed);
        if lost > self.reported_lost {
            self.reported_lost = lost;
            self.record_failure(&OutletError::TooSlow);
        }
    }

    fn record_failure(&mut self, failure: &OutletError) {
        let name = self.settings.name;
        let report = self.outage.record_failure(Instant::now());
        if let Some(times) = report
            && self.settings.reports_failure
        {
            tracing::error!(
                times,
                "{name} could not be written, and its lines are lost: {failure}; {}",
                failure.cure()
            );
        }
    }

    /// Reports the end of an outage, when the queue is empty.
    fn report_recovery(&mut self) {
        let lost = self.queue.lost_lines.load(Ordering::Relaxed);
        let wrote = self.queue.last_write_succeeded();
        if let Some(OutageReport { lost, times }) =
            self.outage.recovers(Instant::now(), wrote, lost)
        {
            tracing::warn!(
                lost,
                times,
                "{} is written again; the lines of the outage are lost; no action is needed",
                self.settings.name
            );
        }
    }
}

#[cfg(test)]
mod tests;
