//! A component's exports: their indices, looked up once, and the functions of one instance.

use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance as WasmInstance, InstancePre, Lift, Lower,
    TypedFunc,
};
use wasmtime::{Result, Store, format_err};

use super::bindings::types::{ChunkVerdict, RequestVerdict, ResponseVerdict};
use super::bindings::{description, lifecycle};
use super::component::{CONTRACT, CompiledComponent};
use super::state::InstanceState;

/// The indices of a component's exports, looked up once.
pub(crate) struct Exports {
    lifecycle: lifecycle::GuestIndices,
    description: Option<description::GuestIndices>,
    request: Option<ComponentExportIndex>,
    request_body: Option<ComponentExportIndex>,
    response: Option<ComponentExportIndex>,
    response_body: Option<ComponentExportIndex>,
    log: Option<ComponentExportIndex>,
}

/// A phase that gets a body: its length, and whether this is the last call.
pub(super) type BodyFunction = TypedFunc<(u64, bool), (ChunkVerdict,)>;

/// The exports of one instance.
pub(super) struct Guests {
    pub(super) lifecycle: lifecycle::Guest,
    pub(super) description: Option<description::Guest>,
    pub(super) request: Option<TypedFunc<(), (RequestVerdict,)>>,
    pub(super) request_body: Option<BodyFunction>,
    pub(super) response: Option<TypedFunc<(), (ResponseVerdict,)>>,
    pub(super) response_body: Option<BodyFunction>,
    pub(super) log: Option<TypedFunc<(), ()>>,
}

impl Exports {
    /// Look them up.
    ///
    /// # Errors
    ///
    /// An interface lacks a function.
    pub(crate) fn find(
        instance: &InstancePre<InstanceState>,
        component: &CompiledComponent,
    ) -> Result<Self> {
        let phases = component.phases;
        let describes = component.describes;
        let component = &component.component;
        let function = |is_there: bool, interface: &str, function: &str| {
            let find = || {
                let interface = format!("windlass:filter/{interface}@{CONTRACT}");
                let found = component.get_export_index(None, &interface);
                found
                    .and_then(|found| component.get_export_index(Some(&found), function))
                    .ok_or_else(|| format_err!("its export `{interface}` has no `{function}`"))
            };
            is_there.then(find).transpose()
        };
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(instance)?,
            description: describes
                .then(|| description::GuestIndices::new(instance))
                .transpose()?,
            request: function(phases.request, "request-phase", "on-request")?,
            request_body: function(phases.request_body, "request-body-phase", "on-request-body")?,
            response: function(phases.response, "response-phase", "on-response")?,
            response_body: function(
                phases.response_body,
                "response-body-phase",
                "on-response-body",
            )?,
            log: function(phases.log, "log-phase", "on-log")?,
        })
    }

    /// The exports of one instance.
    ///
    /// # Errors
    ///
    /// A function has another type than in the contract.
    pub(super) fn load(
        &self,
        store: &mut Store<InstanceState>,
        instance: &WasmInstance,
    ) -> Result<Guests> {
        let description = self.description.as_ref();
        Ok(Guests {
            lifecycle: self.lifecycle.load(&mut *store, instance)?,
            description: description
                .map(|indices| indices.load(&mut *store, instance))
                .transpose()?,
            request: load(store, instance, self.request.as_ref())?,
            request_body: load(store, instance, self.request_body.as_ref())?,
            response: load(store, instance, self.response.as_ref())?,
            response_body: load(store, instance, self.response_body.as_ref())?,
            log: load(store, instance, self.log.as_ref())?,
        })
    }
}

fn load<P, R>(
    store: &mut Store<InstanceState>,
    instance: &WasmInstance,
    index: Option<&ComponentExportIndex>,
) -> Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let function = index.map(|index| instance.get_typed_func(store, index));
    function.transpose()
}
