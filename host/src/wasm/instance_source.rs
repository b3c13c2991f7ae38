//! The parts of a filter that make an instance: its component, linked, with its settings, grants and
//! bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::InstancePre;

use super::bounds::FilterBounds;
use super::cpu::CpuLimit;
use super::debug_lines::DebugLines;
use super::engine::FilterEngine;
use super::exports::Exports;
use super::failure::CallFailure;
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::instance::Instance;
use super::memory::MemoryAccount;
use super::recorder::Recording;
use super::state::InstanceState;

/// A component that is linked, and the functions that it exports.
pub(super) struct InstanceCode {
    pub(super) pre: InstancePre<InstanceState>,
    pub(super) exports: Exports,
}

/// Makes the instances of one filter.
pub(crate) struct InstanceSource {
    pub(super) name: Arc<str>,
    pub(super) engine: FilterEngine,
    /// None for a standard component, which has no phases.
    pub(super) code: Option<InstanceCode>,
    pub(super) settings: String,
    pub(super) grants: Arc<Grants>,
    pub(super) services: Arc<FilterServices>,
    pub(super) bounds: FilterBounds,
    pub(super) debug_lines: Arc<DebugLines>,
    /// Instances made so far.
    pub(super) made: AtomicU64,
}

impl InstanceSource {
    /// The filter's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Instances made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Instantiate and configure.
    ///
    /// # Errors
    ///
    /// It trapped, was too slow, refused its settings, or there is no room.
    pub(super) fn start_instance(&self) -> Result<Box<Instance>, CallFailure> {
        let mut instance = self.instantiate(self.bounds.calls_of_instance())?;
        match instance.configure(&self.settings)? {
            Ok(_) => Ok(Box::new(instance)),
            Err(_) => Err(CallFailure::Verdict(
                "it rejected the settings that it accepted when it was loaded".into(),
            )),
        }
    }

    /// Instantiate, for this many calls.
    pub(super) fn instantiate(&self, calls: u32) -> Result<Instance, CallFailure> {
        let Some(InstanceCode { pre, exports }) = &self.code else {
            return Err(CallFailure::Verdict(
                "it has no phases: it is a component on `wasi:http`".into(),
            ));
        };
        self.made.fetch_add(1, Ordering::Relaxed);
        let mut state = InstanceState::new(
            self.name.clone(),
            self.grants.clone(),
            self.services.clone(),
            self.debug_lines.clone(),
            MemoryAccount::new(self.bounds.memory, self.engine.budget.clone()),
            CpuLimit::new(self.bounds.start_cpu, self.engine.tick()),
        );
        let recorder = self.engine.recorder.clone();
        state.recording = recorder.map(|recorder| Box::new(Recording::new(recorder)));
        let engine = &self.engine.engine;
        Instance::start(engine, pre, exports, state, &self.bounds, calls)
    }
}
