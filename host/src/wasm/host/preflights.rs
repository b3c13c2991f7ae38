//! `windlass:host/preflights`: which filters answer the preflights of browsers.
//!
//! Deliberately does not know what a preflight is: [`crate::proxy`] finds the route of one, and its
//! filters that said this.

use wasmtime::Result;

use crate::wasm::bindings::preflights::Host;
use crate::wasm::state::{InstanceState, Phase};

impl Host for InstanceState {
    fn answer(&mut self) -> Result<()> {
        self.charge_call()?;
        self.advice.preflights |= self.phase == Phase::Configure;
        Ok(())
    }
}
