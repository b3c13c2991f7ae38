//! `windlass:host/api-description`: the APIs as the exchange's configuration has them.
//!
//! The text is made once, when a configuration is built. Deliberately knows no `OpenAPI`: the filter that serves a
//! document puts it together.

use wasmtime::Result;

use super::HostFunctions;
use crate::wasm::services::ApiDescription;
use crate::wasm::state::InstanceState;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("read", |state, ()| {
        let text = apis(state).map(|apis| apis.text.to_string());
        Ok((text.unwrap_or_default(),))
    })?;
    functions.add("digest", |state, ()| {
        let digest = apis(state).map(|apis| apis.digest.to_vec());
        Ok((digest.unwrap_or_default(),))
    })
}

fn apis(state: &InstanceState) -> Option<&ApiDescription> {
    let services = state.services.as_ref().filter(|_| state.exchange.is_some());
    services.map(|services| &*services.apis)
}
