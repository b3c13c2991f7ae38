//! `windlass:host/log`.

use wasmtime::Result;

use super::HostFunctions;

use crate::wasm::bindings::log::Level;
use crate::wasm::output::{fields_text, message_text};
use crate::wasm::state::InstanceState;

/// The most lines of one phase.
const MAX_LINES: u32 = 64;

/// The longest line. Bytes.
const MAX_LINE: usize = 8 * 1024;

pub(super) fn link(functions: HostFunctions<'_>) -> Result<()> {
    let mut functions = functions.unrecorded();
    functions.add("enabled", |state, (level,): (Level,)| {
        // A recorder takes lines of every level.
        let is_recorded = state.recording.is_some();
        Ok((is_recorded
            || match level {
                Level::Trace => tracing::enabled!(tracing::Level::TRACE),
                Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
                Level::Info => tracing::enabled!(tracing::Level::INFO),
                Level::Warn => tracing::enabled!(tracing::Level::WARN),
                Level::Error => tracing::enabled!(tracing::Level::ERROR),
            },))
    })?;
    functions.add(
        "write",
        |state, (level, message, fields): (Level, String, Vec<(String, String)>)| {
            state.log(level, message, &fields)
        },
    )
}

impl InstanceState {
    fn log(
        &mut self,
        level: Level,
        mut message: String,
        fields: &[(String, String)],
    ) -> Result<()> {
        self.account.lines += 1;
        if self.account.lines > MAX_LINES {
            if self.account.lines == MAX_LINES + 1 {
                let text = format!("log lines beyond the {MAX_LINES} of a phase were dropped");
                self.notice(&text);
            }
            return Ok(());
        }
        message.truncate(message.floor_char_boundary(MAX_LINE));
        let mut fields = fields_text(fields);
        fields.truncate(fields.floor_char_boundary(MAX_LINE - message.len()));
        self.account.charge_bytes(message.len() + fields.len())?;
        if self.exchange.is_none() {
            // `windlass check` shows what it wrote while it was configured.
            self.output.keep_said(&message);
        }
        if let Some(recording) = &mut self.recording {
            recording.line(level_word(level), &format!("{message} {fields}"));
        }
        let line = message_text(&message);
        let fields = Some(&fields).filter(|fields| !fields.is_empty());
        let fields = fields.map(tracing::field::display);
        let request = self
            .exchange
            .as_ref()
            .map(|exchange| exchange.id.clone())
            .map(tracing::field::display);
        let filter = &*self.name;
        match level {
            Level::Trace => tracing::trace!(filter, request, fields, "{line}"),
            Level::Debug => tracing::debug!(filter, request, fields, "{line}"),
            Level::Info => tracing::info!(filter, request, fields, "{line}"),
            Level::Warn => tracing::warn!(filter, request, fields, "{line}"),
            Level::Error => tracing::error!(filter, request, fields, "{line}"),
        }
        Ok(())
    }
}

/// The word of a level in a record.
fn level_word(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}
