//! `windlass:host/raw-params`: parameters of the request as they are spelled.
//!
//! Before it comes the path rule, which gives every escape one spelling; what a filter reads here
//! is what the router matched. Deliberately does not decode: that is `exchange.path-param`.

use wasmtime::Result;

use crate::route;
use crate::wasm::bindings::raw_params::Host;
use crate::wasm::state::InstanceState;

impl Host for InstanceState {
    fn path_param(&mut self, name: String) -> Result<Option<String>> {
        self.charge_call()?;
        let exchange = self.exchange.as_deref();
        let value = exchange.and_then(|exchange| exchange.param(&name));
        Ok(value.map(str::to_owned))
    }

    fn query_param(&mut self, name: String) -> Result<Option<String>> {
        self.charge_call()?;
        let exchange = self.exchange.as_deref();
        let query = exchange.and_then(|exchange| exchange.request.target.query());
        let value = query.and_then(|query| route::raw_query_value(query, &name));
        Ok(value.map(str::to_owned))
    }
}
