//! `windlass:host/advice`: what a filter tells the operator while it is configured.
//!
//! The advice is kept in the instance's state and read once, when the filter is loaded. This file does
//! not judge it: the build of the configuration finds where a warning belongs, and which fields a
//! client could send.

use wasmtime::Result;

use crate::wasm::bindings::advice::Host;
use crate::wasm::facts::Advice;
use crate::wasm::state::{InstanceState, Phase};

/// The longest text. Bytes.
const MAX_TEXT: usize = 1024;

impl InstanceState {
    /// Where advice goes, if it counts now.
    fn advice_mut(&mut self) -> Result<Option<&mut Advice>> {
        self.charge_call()?;
        let counts = self.phase == Phase::Configure && self.advice.has_room();
        Ok(counts.then_some(&mut self.advice))
    }
}

impl Host for InstanceState {
    fn warn(&mut self, at: String, message: String) -> Result<()> {
        if let Some(advice) = self.advice_mut()? {
            advice.warnings.push((cut(at), cut(message)));
        }
        Ok(())
    }

    fn vouch(&mut self, field: String) -> Result<()> {
        if let Some(advice) = self.advice_mut()? {
            advice.trusted_fields.push(cut(field).to_ascii_lowercase());
        }
        Ok(())
    }

    fn clear(&mut self, field: String) -> Result<()> {
        if let Some(advice) = self.advice_mut()? {
            advice.removed_fields.push(cut(field).to_ascii_lowercase());
        }
        Ok(())
    }

    fn read(&mut self, field: String) -> Result<()> {
        if let Some(advice) = self.advice_mut()? {
            advice.read_fields.push(cut(field).to_ascii_lowercase());
        }
        Ok(())
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
