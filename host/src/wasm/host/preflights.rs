//! `windlass:host/preflights`: which filters answer the preflights of browsers.
//!
//! Deliberately does not know what a preflight is: [`crate::proxy`] finds the route of one, and its
//! filters that called this.

use wasmtime::Result;

use super::HostFunctions;
use crate::wasm::state::Phase;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("answer", |state, ()| {
        state.advice.preflights |= state.phase == Phase::Configure;
        Ok(())
    })
}
