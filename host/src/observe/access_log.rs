//! The access log: one JSON object a line, for each exchange.
//!
//! A worker writes lines into a buffer of its own and hands it, when it is full or a moment has
//! passed, to one thread that writes them out ([`super::sink`]). Nothing on a request's way waits for
//! the disk: if the writer does not keep up, or a write fails, lines are dropped and counted.
//!
//! Never in it: the query (keys are sent there), fields of the request, bodies.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;

use super::sink::{Outlet, Sink, SinkInput, SinkSettings, Target};

/// A buffer this large is handed over. Bytes.
const BUFFER: usize = 16 * 1024;

/// What its thread is, and how much may wait for it.
const SETTINGS: SinkSettings = SinkSettings {
    thread: "windlass-log",
    name: "the access log",
    max_bytes: 16 * 1024 * 1024,
    reports_failure: true,
};

/// The access log of the process.
#[derive(Debug)]
pub struct AccessLogWriter {
    target: Target,
    sink: Sink,
}

impl AccessLogWriter {
    /// Open it, and start its writer.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the system gives no thread.
    pub(crate) fn open(target: Target) -> io::Result<Self> {
        let sink = Sink::start(SETTINGS, Outlet::open(&target)?)?;
        Ok(Self { target, sink })
    }

    /// Where it goes.
    #[must_use]
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Open the file of that name anew: the old one was moved away.
    ///
    /// # Errors
    ///
    /// It cannot be opened; then the old file stays in use.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        if let Target::File(_) = &self.target {
            self.sink.replace(Outlet::open(&self.target)?);
        }
        Ok(())
    }

    /// A worker's end of it.
    #[must_use]
    pub(crate) fn buffer(&self) -> LogBuffer {
        LogBuffer {
            bytes: RefCell::default(),
            sink: self.sink.input(),
        }
    }

    /// How many lines were lost: its writer did not keep up, or could not write.
    #[must_use]
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        self.sink.lost_lines()
    }

    /// Write what was handed over, and end: a reader that takes nothing is not waited for. The
    /// workers must have ended.
    pub(crate) fn finish(&self) {
        self.sink.finish();
    }
}

/// One worker's lines that were not handed over yet.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    bytes: RefCell<Vec<u8>>,
    sink: SinkInput,
}

impl LogBuffer {
    /// Write the line of an exchange that has ended, as one JSON object.
    pub(crate) fn write(&self, line: &impl Serialize) {
        let mut bytes = self.bytes.borrow_mut();
        let before = bytes.len();
        match serde_json::to_writer(&mut *bytes, line) {
            Ok(()) => bytes.push(b'\n'),
            // Half a line would spoil the next.
            Err(_) => bytes.truncate(before),
        }
        if bytes.len() >= BUFFER {
            self.hand_over(&mut bytes);
        }
    }

    /// Hand over what there is. Called once a tick of the watch task, and at the end.
    pub(crate) fn flush(&self) {
        let mut bytes = self.bytes.borrow_mut();
        if !bytes.is_empty() {
            self.hand_over(&mut bytes);
        }
    }

    fn hand_over(&self, bytes: &mut Vec<u8>) {
        let full = std::mem::replace(bytes, Vec::with_capacity(BUFFER + 1024));
        self.sink.push(full);
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
