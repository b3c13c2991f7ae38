//! `windlass:host/advice`: what a filter tells the operator while it is configured.
//!
//! It is kept in the instance's state and read once, when the filter is loaded. Deliberately does not
//! judge: what a warning is shown at, and where a field could come from a client, is found when the
//! configuration is built.

use wasmtime::Result;

use super::super::bindings::advice::Host;
use super::super::facts::BoundInfo;
use super::super::state::{InstanceState, Phase};
use crate::exchange::ResponseEdit;

/// The most pieces of advice that are kept.
const MAX_ADVICE: usize = 256;

/// The longest text. Bytes.
const MAX_TEXT: usize = 1024;

/// What a filter told while it was configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// A JSON pointer into the settings, and what to mind there.
    pub(crate) warnings: Vec<(String, String)>,
    /// Request fields that it sets from what the gateway knows.
    pub(crate) trusted_fields: Vec<String>,
    /// Request fields that no client can send past it.
    pub(crate) removed_fields: Vec<String>,
    /// Request fields that it reads.
    pub(crate) read_fields: Vec<String>,
    /// The bounds that it counts by itself.
    pub(crate) bounds: Vec<BoundInfo>,
    /// Whether it answers preflights.
    pub(crate) preflights: bool,
    /// Its edits of every response.
    pub(crate) response_edits: Vec<ResponseEdit>,
    /// Whether its `on-response` has nothing to do.
    pub(crate) skips_response: bool,
}

impl Advice {
    fn has_room(&self) -> bool {
        let fields = self.trusted_fields.len() + self.removed_fields.len() + self.read_fields.len();
        self.warnings.len() + fields < MAX_ADVICE
    }
}

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
