//! `windlass:host/raw-params`: parameters of the request as they are spelled.
//!
//! Before it comes the path rule, which gives every escape one spelling; a filter reads here
//! the text that the router matched. Deliberately does not decode: that is `exchange.path-param`.

use wasmtime::Result;

use super::HostFunctions;
use crate::route;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("path-param", |state, (name,): (String,)| {
        Ok((state.read(|exchange| exchange.param(&name).map(str::to_owned)),))
    })?;
    functions.add("query-param", |state, (name,): (String,)| {
        Ok((state.read(|exchange| {
            let query = exchange.request.target.query()?;
            route::raw_query_value(query, &name).map(str::to_owned)
        }),))
    })
}
