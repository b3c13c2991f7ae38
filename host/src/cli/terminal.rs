//! The gateway's own log lines, on standard error.
//!
//! From [`log`] on nothing here waits for standard error: its lines go through a queue
//! ([`crate::observe::sink`]), so that a reader that takes nothing holds no request, no reload and no
//! stop.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{Log, LogLevel};
use crate::observe::sink::{Outlet, Sink, SinkInput, SinkSettings, Target};

/// What its thread is, and how much may wait for it.
const SETTINGS: SinkSettings = SinkSettings {
    thread: "windlass-lines",
    name: "this log",
    max_bytes: 4 * 1024 * 1024,
    reports_failure: false,
};

/// The log of the process: there is one standard error.
static LOG_SINK: OnceLock<Sink> = OnceLock::new();

/// Write the gateway's own lines to standard error from now on, as important as `[log] level`
/// says; the variable `WINDLASS_LOG` overrides it (`debug`, or `windlass::chain=trace,info`). Lines
/// of the audit log are written whatever the level is.
pub(crate) fn log(settings: &Log) {
    let level = match settings.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // h2 warns of answers to PINGs that it has not sent itself.
    let level = format!("{level},windlass::audit=info,h2::proto::ping_pong=error");
    let filter = EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LogLineWriter::new)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .try_init();
    if lines.is_err() {
        eprintln!("windlass: the log was set up before; its level stays as it is");
        return;
    }
    match Outlet::open(&Target::Stderr).and_then(|outlet| Sink::start(SETTINGS, outlet)) {
        // Nobody else sets it: the log is set up once.
        Ok(sink) => drop(LOG_SINK.set(sink)),
        Err(error) => eprintln!(
            "windlass: the log has no thread of its own, so a reader of standard error can hold the gateway: {error}"
        ),
    }
}

/// Write a text of several lines, such as the problems of a configuration.
pub(crate) fn text(text: &str) {
    match LOG_SINK.get() {
        Some(lines) => lines.input().push(text.as_bytes().to_vec()),
        None => eprint!("{text}"),
    }
}

/// How many lines were lost.
pub(crate) fn lost_lines() -> Arc<AtomicU64> {
    LOG_SINK.get().map(Sink::lost_lines).unwrap_or_default()
}

/// Write what waits: the process ends. A reader that takes nothing is not waited for.
pub(crate) fn finish() {
    if let Some(lines) = LOG_SINK.get() {
        lines.finish();
    }
}

/// Takes one line of the log, whole.
struct LogLineWriter(Option<SinkInput>);

impl LogLineWriter {
    fn new() -> Self {
        Self(LOG_SINK.get().map(Sink::input))
    }
}

impl io::Write for LogLineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(lines) => lines.push(line.to_vec()),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
