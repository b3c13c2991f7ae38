//! `windlass:host/problem-members`: what a problem body says beside what it always says.
//!
//! Kept for the running phase; the refusal that it answers with takes it along. Deliberately does not word
//! anything: that is [`crate::error`].

use wasmtime::Result;

use crate::wasm::bindings::problem_members::Host;
use crate::wasm::state::InstanceState;

/// The longest text. Bytes.
const MAX_TEXT: usize = 4 * 1024;

impl Host for InstanceState {
    fn set(&mut self, members: String) -> Result<bool> {
        self.charge_call()?;
        if members.len() > MAX_TEXT {
            return Ok(false);
        }
        self.charge_bytes(members.len())?;
        let Ok(members) = serde_json::from_str(&members) else {
            return Ok(false);
        };
        self.members = Some(Box::new(members));
        Ok(true)
    }
}
