//! The gateway's own log lines, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{Log, LogLevel};

/// Write the gateway's own lines to standard error from now on, as important as `[log] level`
/// says; the variable `WINDLASS_LOG` overrides it (`debug`, or `windlass::chain=trace,info`). Lines
/// of the audit log are written whatever the level is.
pub fn log(settings: &Log) {
    let level = match settings.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let level = format!("{level},windlass::audit=info");
    let filter = EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
    if lines.is_err() {
        eprintln!("windlass: the log was set up before; its level stays as it is");
    }
}
