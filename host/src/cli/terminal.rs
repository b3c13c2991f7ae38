//! The gateway's own log, on standard error.
//!
//! After [`log`] nothing here waits for standard error: log lines go through a queue
//! ([`crate::observe::sink`]), so that a slow reader delays no request, no reload and no stop.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{Log, LogFormat};
use crate::observe::log_level::{LogLevelSwitch, directives};
use crate::observe::sink::{Outlet, Sink, SinkQueue, SinkSettings, Target};

/// The name of its thread, and the limit of its queue.
const SETTINGS: SinkSettings = SinkSettings {
    thread: "windlass-lines",
    name: "this log",
    max_bytes: 4 * 1024 * 1024,
    reports_failure: false,
};

/// The log of the process; there is only one standard error.
static LOG_SINK: OnceLock<Sink> = OnceLock::new();

/// The variable that overrides `[log] level`.
const VARIABLE: &str = "WINDLASS_LOG";

/// Writes the gateway's own log to standard error from now on, at the level of `[log] level`. The
/// variable `WINDLASS_LOG` overrides it (`debug`, or `windlass::chain=trace,info`). The audit log
/// is written whatever the level is. Returns what changes the level.
pub(crate) fn log(settings: &Log) -> LogLevelSwitch {
    let variable = std::env::var(VARIABLE).ok();
    let variable = variable.filter(|text| EnvFilter::try_new(text).is_ok());
    let filter = variable
        .clone()
        .unwrap_or_else(|| directives(settings.level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(LogLineWriter::new)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let level = settings.level;
    // The two are of different types.
    let (switch, initialized) = match settings.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            let switch = LogLevelSwitch::new(level, variable, move |directives| {
                handle.reload(EnvFilter::new(directives)).is_ok()
            });
            (switch, lines.try_init())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(false).with_span_list(false);
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            let switch = LogLevelSwitch::new(level, variable, move |directives| {
                handle.reload(EnvFilter::new(directives)).is_ok()
            });
            (switch, lines.try_init())
        }
    };
    if initialized.is_err() {
        eprintln!("windlass: the log was set up before; its level does not change");
        return switch;
    }
    match Outlet::open(&Target::Stderr).and_then(|outlet| Sink::start(SETTINGS, outlet, None)) {
        // The log is set up only once, so this cannot fail.
        Ok(sink) => drop(LOG_SINK.set(sink)),
        Err(error) => eprintln!(
            "windlass: the log has no thread of its own, so a slow reader of standard error can delay the gateway: {error}"
        ),
    }
    switch
}

/// Writes a text of several lines, such as the problems of a configuration.
pub(crate) fn text(text: &str) {
    match LOG_SINK.get() {
        Some(lines) => lines.input().push(text.as_bytes().to_vec()),
        None => eprint!("{text}"),
    }
}

/// The number of lost lines.
pub(crate) fn lost_lines() -> Arc<AtomicU64> {
    LOG_SINK.get().map(Sink::lost_lines).unwrap_or_default()
}

/// Writes the queued lines before the process ends, unless the reader takes nothing.
pub(crate) fn finish() {
    if let Some(lines) = LOG_SINK.get() {
        lines.finish();
    }
}

/// Writes one complete line of the log.
struct LogLineWriter(Option<Arc<SinkQueue>>);

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
