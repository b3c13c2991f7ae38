//! The engine that all filters share, and its totals.
//!
//! A process has one engine, made at the start and never replaced: a reload brings new components
//! and new instances, not a new engine. Its totals are therefore fixed. If they run out, an error names
//! the key to raise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::epoch::{Epoch, Ticking};
use super::function_cache::FunctionCache;
use super::recorder::Recorder;

/// Stack that guest code may use. Worker threads must have more than this.
pub(crate) const GUEST_STACK: usize = 512 * 1024;

/// Stack of a fiber: the guest's, and what the host's functions need above it.
const FIBER_STACK: usize = GUEST_STACK + 512 * 1024;

/// The most elements of one guest table. Python's and Go's runtimes hold some thousands.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 20_000;

/// Core instances, memories and tables that one component may have: adapters and shared
/// libraries are instances of their own. A Python component has 14 core instances or more, and one made
/// with `--stub-wasi` 38.
const CORE_INSTANCES: u32 = 64;
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;

/// Totals of the filter engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EngineLimits {
    /// The most component instances at once.
    pub(crate) max_instances: u32,
    /// The largest linear memory that one filter may be allowed. Bytes.
    pub(crate) max_memory: u64,
    /// The linear memory of all instances together. Bytes.
    pub(crate) memory: u64,
}

/// The engine, its ticker and its memory budget. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FilterEngine {
    /// wasmtime's engine.
    pub(super) engine: Engine,
    epoch: Arc<Epoch>,
    /// The budget that the linear memories of all instances share.
    pub(crate) budget: Arc<MemoryBudget>,
    /// Takes a record of each phase, if somebody wants one.
    pub(super) recorder: Option<Recorder>,
}

impl FilterEngine {
    /// Make the engine and start its ticker.
    ///
    /// # Errors
    ///
    /// The system cannot reserve the address space, or start a thread.
    pub(crate) fn start(limits: EngineLimits) -> Result<Self, EngineError> {
        Self::with_config(limits, &config(limits))
    }

    /// An engine for a plugin that is built again and again: its filters are recorded, and functions that did not change
    /// are not compiled again.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub(crate) fn for_author(
        limits: EngineLimits,
        recorder: Recorder,
    ) -> Result<Self, EngineError> {
        let mut config = config(limits);
        // Without the cache, each build is compiled as a whole.
        let _ = config.enable_incremental_compilation(Arc::new(FunctionCache::new()));
        Ok(Self {
            recorder: Some(recorder),
            ..Self::with_config(limits, &config)?
        })
    }

    fn with_config(limits: EngineLimits, config: &Config) -> Result<Self, EngineError> {
        let engine = Engine::new(config).map_err(|error| EngineError::Reserve {
            instances: limits.max_instances,
            source: error.into(),
        })?;
        let epoch = Epoch::start(&engine).map_err(EngineError::Ticker)?;
        Ok(Self {
            engine,
            epoch: Arc::new(epoch),
            budget: Arc::new(MemoryBudget::new(limits.memory)),
            recorder: None,
        })
    }

    /// Keeps the epoch ticking while an instance exists, so that its calls have an end.
    #[must_use]
    pub(super) fn tick(&self) -> Ticking {
        self.epoch.tick()
    }
}

impl std::fmt::Debug for FilterEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterEngine")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The address space could not be reserved.
    #[error(
        "cannot reserve room for {instances} filter instances: lower `[wasm] max_instances` or `max_memory`"
    )]
    Reserve {
        /// How many were asked for.
        instances: u32,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The ticker's thread did not start.
    #[error("cannot start the thread that watches the CPU limits of filters")]
    Ticker(#[source] std::io::Error),
}

/// The engine's settings. Concurrency support is off: it costs half a microsecond a call, and
/// the contract has no `async`, `stream` or `future`.
fn config(limits: EngineLimits) -> Config {
    let instances = limits.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .total_stacks(instances)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(limits.max_memory).unwrap_or(usize::MAX))
        // So much is cleared in place for the next instance. Only what is beyond goes back to the system, whose
        // pages fault when they are touched again.
        .linear_memory_keep_resident(128 * 1024)
        .table_keep_resident(16 * 1024);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The budget of the linear memories of all instances together.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: u64,
    used: AtomicU64,
}

impl MemoryBudget {
    /// A budget of this many bytes.
    #[must_use]
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
        }
    }

    /// Take bytes; false if fewer are left.
    #[must_use]
    pub(crate) fn take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            })
            .is_ok()
    }

    /// Give taken bytes back.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How much is taken now. Bytes.
    #[must_use]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The whole budget. Bytes.
    #[must_use]
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of one empty module, instantiated so often (Component Model, Binary.md).
    fn with_core_instances(count: u8) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend_from_slice(b"\x01\x08\0asm\x01\0\0\0");
        bytes.extend_from_slice(&[
            2,
            0x80 | ((count * 3 + 1) & 0x7f),
            (count * 3 + 1) >> 7,
            count,
        ]);
        bytes.extend([0, 0, 0].repeat(count.into()));
        bytes
    }

    #[test]
    fn a_component_of_as_many_core_instances_as_python_makes_is_taken() {
        let engine = FilterEngine::start(EngineLimits {
            max_instances: 2,
            max_memory: 1 << 20,
            memory: 1 << 20,
        })
        .unwrap();
        let compiled =
            |count| wasmtime::component::Component::new(&engine.engine, with_core_instances(count));
        compiled(38).unwrap();
        let refused = compiled(65).unwrap_err().to_string();
        assert!(refused.contains("65 core module instances"), "{refused}");
    }

    #[test]
    fn a_budget_gives_no_more_than_it_has() {
        let budget = MemoryBudget::new(100);
        assert!(budget.take(60));
        assert!(!budget.take(41));
        assert!(budget.take(40));
        budget.give_back(60);
        assert_eq!(budget.used(), 40);
        assert!(!budget.take(u64::MAX));
    }
}
