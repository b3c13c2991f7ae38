//! `windlass:host/log`.

use wasmtime::Result;

use super::super::bindings::log::{Host, Level};
use super::super::output::one_line;
use super::super::state::State;

/// The most lines of one phase.
const MAX_LINES: u32 = 64;

/// The longest line. Bytes.
const MAX_LINE: usize = 8 * 1024;

impl Host for State {
    fn enabled(&mut self, level: Level) -> Result<bool> {
        self.charge_call()?;
        Ok(match level {
            Level::Trace => tracing::enabled!(tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(tracing::Level::INFO),
            Level::Warn => tracing::enabled!(tracing::Level::WARN),
            Level::Error => tracing::enabled!(tracing::Level::ERROR),
        })
    }

    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> Result<()> {
        self.charge_call()?;
        self.account.lines += 1;
        if self.account.lines > MAX_LINES {
            return Ok(());
        }
        let mut line = message;
        for (name, value) in fields {
            line.push(' ');
            line.push_str(&name);
            line.push('=');
            line.push_str(&value);
        }
        line.truncate(line.floor_char_boundary(MAX_LINE));
        self.charge_bytes(line.len())?;
        let line = one_line(&line);
        let request = self
            .exchange
            .as_ref()
            .map(|exchange| exchange.id.clone())
            .map(tracing::field::display);
        let filter = &*self.name;
        match level {
            Level::Trace => tracing::trace!(filter, request, "{line}"),
            Level::Debug => tracing::debug!(filter, request, "{line}"),
            Level::Info => tracing::info!(filter, request, "{line}"),
            Level::Warn => tracing::warn!(filter, request, "{line}"),
            Level::Error => tracing::error!(filter, request, "{line}"),
        }
        Ok(())
    }
}
