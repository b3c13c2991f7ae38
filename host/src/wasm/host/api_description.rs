//! `windlass:host/api-description`: the APIs as the exchange's configuration has them.
//!
//! The text is made once, when a configuration is built. Deliberately knows no `OpenAPI`: the filter that serves a
//! document puts it together.

use wasmtime::Result;

use crate::wasm::bindings::api_description::Host;
use crate::wasm::state::InstanceState;

impl Host for InstanceState {
    fn read(&mut self) -> Result<String> {
        self.charge_call()?;
        let services = self.services.as_ref().filter(|_| self.exchange.is_some());
        Ok(services.map_or_else(String::new, |services| services.apis.text.to_string()))
    }

    fn digest(&mut self) -> Result<Vec<u8>> {
        self.charge_call()?;
        let services = self.services.as_ref().filter(|_| self.exchange.is_some());
        Ok(services.map_or_else(Vec::new, |services| services.apis.digest.to_vec()))
    }
}
