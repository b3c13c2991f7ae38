//! `windlass:host/documents`: the files that the operator named in the filter's table.
//!
//! They are in memory, as they were when the configuration was read ([`crate::wasm::documents`]).
//! Deliberately knows no path: a guest has names and bytes, and no way to the file system.

use wasmtime::Result;

use super::HostFunctions;
use crate::wasm::documents::{Document, Documents};
use crate::wasm::state::{InstanceState, Phase};

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("names", |state, ()| {
        let names = documents(state).into_iter().flat_map(Documents::keys);
        Ok((names.cloned().collect::<Vec<_>>(),))
    })?;
    functions.add("size", |state, (name,): (String,)| {
        let length = find(state, &name).map(|document| document.bytes.len());
        Ok((length.map(|length| u64::try_from(length).unwrap_or(u64::MAX)),))
    })?;
    functions.add(
        "read",
        |state, (name, offset, length): (String, u64, u32)| {
            let document = find(state, &name);
            Ok((document.map(|document| document.range(offset, length).to_vec()),))
        },
    )?;
    functions.add("digest", |state, (name,): (String,)| {
        Ok((find(state, &name).map(|document| document.digest.to_vec()),))
    })
}

/// The filter's documents, from `configure` on.
fn documents(state: &InstanceState) -> Option<&Documents> {
    (state.phase != Phase::Idle).then(|| &*state.filter_services.documents)
}

fn find<'a>(state: &'a InstanceState, name: &str) -> Option<&'a Document> {
    documents(state)?.get(name)
}
