//! Lines in the gateway's log, marked with the filter's name and the request id.
//!
//! Never write a secret. A line has at most 8 KiB, and a phase at most 64 lines.

use core::time::Duration;

use crate::gateway::log;

use super::cache;

pub use log::Level;

/// How long after a line of [`warn_of_outage`] the next one is at level debug.
const QUIET: Duration = Duration::from_secs(10);

/// Whether lines of this level are kept. Ask before you build an expensive one.
#[must_use]
pub fn enabled(level: Level) -> bool {
    log::enabled(level)
}

/// Writes a line: a plain sentence and its fields.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    log::write(level, message, fields);
}

/// Writes a line at level trace.
pub fn trace(message: &str, fields: &[(&str, &str)]) {
    write(Level::Trace, message, fields);
}

/// Writes a line at level debug. Use this level for anything that is written for every request.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    write(Level::Debug, message, fields);
}

/// Writes a line at level info.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    write(Level::Info, message, fields);
}

/// Writes a line at level warn.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, message, fields);
}

/// Writes a line at level error.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    write(Level::Error, message, fields);
}

/// Writes a line at level warn the first time within ten seconds, over all workers, and otherwise at level debug, so
/// that an outage does not fill the log. Needs the grant `cache`.
pub fn warn_of_outage(message: &str, fields: &[(&str, &str)]) {
    let level = match cache::increment(&format!("told {message}"), 1, QUIET) {
        1 => Level::Warn,
        _ => Level::Debug,
    };
    write(level, message, fields);
}
