//! The access log: one line for each exchange.
//!
//! A worker writes lines into its own buffer and hands the buffer, when it is full or after a
//! moment, to one thread that writes it out ([`super::sink`]). No request waits for the disk: if
//! the writer does not keep up, or a write fails, lines are dropped and counted.
//!
//! The caller writes the lines (`exchange::access_values`); here they are bytes.

use std::cell::RefCell;
use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::sink::{Outlet, Rotation, RotationRule, Sink, SinkQueue, SinkSettings, Target};
use crate::model::access_format::AccessFormat;

/// The size at which a buffer is handed over. Bytes.
const BUFFER: usize = 16 * 1024;

/// The name of its thread, and the limit of its queue.
const SETTINGS: SinkSettings = SinkSettings {
    thread: "windlass-log",
    name: "the access log",
    max_bytes: 16 * 1024 * 1024,
    reports_failure: true,
};

/// The access log of the process.
#[derive(Debug)]
pub struct AccessLogWriter {
    /// The destination.
    pub(crate) target: Target,
    pub(crate) sink: Sink,
    /// The size at which a worker hands its buffer over. Bytes.
    hand_over_at: usize,
    /// The format of its lines, if it is not that of the configuration.
    format: Option<Arc<AccessFormat>>,
}

impl AccessLogWriter {
    /// Opens the access log, and starts its writer.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the system gives no thread.
    pub(crate) fn open(target: Target, rule: Option<RotationRule>) -> io::Result<Self> {
        let rotation = match (&target, rule) {
            (Target::File(path), Some(rule)) => Some(Rotation::new(path.clone(), rule)),
            _ => None,
        };
        let sink = Sink::start(SETTINGS, Outlet::open(&target)?, rotation)?;
        Ok(Self {
            target,
            sink,
            hand_over_at: BUFFER,
            format: None,
        })
    }

    /// An access log for a reader in this process, which gets each line at once, as JSON with the usual fields.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn to_pipe(pipe: PipeWriter) -> io::Result<Self> {
        let outlet = Outlet::of_pipe(OwnedFd::from(pipe).into());
        Ok(Self {
            target: Target::Stdout,
            sink: Sink::start(SETTINGS, outlet, None)?,
            hand_over_at: 1,
            format: Some(Arc::default()),
        })
    }

    /// Opens the file of that name again, because the old one was moved away.
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

    /// The buffer of one worker.
    #[must_use]
    pub(crate) fn buffer(&self) -> LogBuffer {
        LogBuffer {
            bytes: RefCell::default(),
            sink: self.sink.input(),
            hand_over_at: self.hand_over_at,
            format: self.format.clone(),
        }
    }
}

/// The lines of one worker that it has not handed over yet.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    bytes: RefCell<Vec<u8>>,
    sink: Arc<SinkQueue>,
    hand_over_at: usize,
    format: Option<Arc<AccessFormat>>,
}

impl LogBuffer {
    /// The format of its lines: that of the configuration, unless its reader wants another.
    #[must_use]
    pub(crate) fn format<'a>(&'a self, configured: &'a AccessFormat) -> &'a AccessFormat {
        self.format.as_deref().unwrap_or(configured)
    }

    /// Write the line of an exchange that has ended. `write` leaves its end out.
    pub(crate) fn write<E>(&self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) {
        let mut bytes = self.bytes.borrow_mut();
        let before = bytes.len();
        match write(&mut bytes) {
            Ok(()) => bytes.push(b'\n'),
            // A partial line would corrupt the next one.
            Err(_) => bytes.truncate(before),
        }
        if bytes.len() >= self.hand_over_at {
            self.hand_over(&mut bytes);
        }
    }

    /// Hands the buffer over. The watch task calls this once a tick and at the end.
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
