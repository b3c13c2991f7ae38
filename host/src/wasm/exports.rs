//! A component's exports: their indices, looked up once, and the functions of one instance.

use wasmtime::Store;
use wasmtime::component::{Instance as WasmInstance, InstancePre};

use super::bindings::{
    description, lifecycle, log_phase, request_body_phase, request_phase, response_body_phase,
    response_phase,
};
use super::component::Phases;
use super::state::InstanceState;

/// The indices of a component's exports, looked up once.
pub(crate) struct Exports {
    lifecycle: lifecycle::GuestIndices,
    description: Option<description::GuestIndices>,
    request: Option<request_phase::GuestIndices>,
    request_body: Option<request_body_phase::GuestIndices>,
    response: Option<response_phase::GuestIndices>,
    response_body: Option<response_body_phase::GuestIndices>,
    log: Option<log_phase::GuestIndices>,
}

impl Exports {
    /// Whether it exports a phase for bodies.
    pub(crate) fn has_body_phase(&self) -> bool {
        self.request_body.is_some() || self.response_body.is_some()
    }

    /// Look them up.
    ///
    /// # Errors
    ///
    /// An interface lacks a function.
    pub(crate) fn find(
        instance: &InstancePre<InstanceState>,
        phases: Phases,
        describes: bool,
    ) -> wasmtime::Result<Self> {
        macro_rules! when {
            ($there:expr, $interface:ident) => {
                $there
                    .then(|| $interface::GuestIndices::new(instance))
                    .transpose()?
            };
        }
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(instance)?,
            description: when!(describes, description),
            request: when!(phases.request, request_phase),
            request_body: when!(phases.request_body, request_body_phase),
            response: when!(phases.response, response_phase),
            response_body: when!(phases.response_body, response_body_phase),
            log: when!(phases.log, log_phase),
        })
    }
}

/// The exports of one instance.
pub(super) struct Guests {
    pub(super) lifecycle: lifecycle::Guest,
    pub(super) description: Option<description::Guest>,
    pub(super) request: Option<request_phase::Guest>,
    pub(super) request_body: Option<request_body_phase::Guest>,
    pub(super) response: Option<response_phase::Guest>,
    pub(super) response_body: Option<response_body_phase::Guest>,
    pub(super) log: Option<log_phase::Guest>,
}

impl Exports {
    /// The exports of one instance.
    pub(super) fn load(
        &self,
        store: &mut Store<InstanceState>,
        instance: &WasmInstance,
    ) -> wasmtime::Result<Guests> {
        macro_rules! load {
            ($indices:expr) => {
                match &$indices {
                    Some(indices) => Some(indices.load(&mut *store, instance)?),
                    None => None,
                }
            };
        }
        Ok(Guests {
            lifecycle: self.lifecycle.load(&mut *store, instance)?,
            description: load!(self.description),
            request: load!(self.request),
            request_body: load!(self.request_body),
            response: load!(self.response),
            response_body: load!(self.response_body),
            log: load!(self.log),
        })
    }
}
