//! The exports of an instance that are called on a fiber.

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance as WasmInstance, Lift, Lower, TypedFunc};

use super::bindings::types;
use super::component::CONTRACT;
use super::state::InstanceState;

/// The exports that are called on a fiber; none if the filter's calls never run on one.
#[derive(Default)]
pub(crate) struct FiberExports {
    /// `on-request`.
    pub(crate) request: Option<TypedFunc<(), (types::RequestVerdict,)>>,
    /// `on-request-body`.
    pub(crate) request_body: Option<TypedFunc<(u64, bool), (types::ChunkVerdict,)>>,
    /// `on-response`.
    pub(crate) response: Option<TypedFunc<(), (types::ResponseVerdict,)>>,
    /// `on-response-body`.
    pub(crate) response_body: Option<TypedFunc<(u64, bool), (types::ChunkVerdict,)>>,
    /// `on-log`.
    pub(crate) log: Option<TypedFunc<(), ()>>,
}

impl FiberExports {
    /// Find them in an instance.
    ///
    /// # Errors
    ///
    /// One has another type.
    pub(crate) fn load(
        store: &mut Store<InstanceState>,
        instance: &WasmInstance,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            request: find(store, instance, "request-phase", "on-request")?,
            request_body: find(store, instance, "request-body-phase", "on-request-body")?,
            response: find(store, instance, "response-phase", "on-response")?,
            response_body: find(store, instance, "response-body-phase", "on-response-body")?,
            log: find(store, instance, "log-phase", "on-log")?,
        })
    }
}

/// A function of an interface of the contract; none where the component does not export it.
fn find<P, R>(
    store: &mut Store<InstanceState>,
    instance: &WasmInstance,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let interface = format!("windlass:filter/{interface}@{CONTRACT}");
    let Some(interface) = instance.get_export_index(&mut *store, None, &interface) else {
        return Ok(None);
    };
    let Some(function) = instance.get_export_index(&mut *store, Some(&interface), function) else {
        return Ok(None);
    };
    instance.get_typed_func(&mut *store, function).map(Some)
}
