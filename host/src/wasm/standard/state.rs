//! The data of a standard component's store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::egress::Egress;
use super::log::LogStreams;
use crate::wasm::bounds::FilterBounds;
use crate::wasm::cpu::CpuLimit;
use crate::wasm::memory::MemoryAccount;

/// The most streams, fields, bodies and timers that one instance may hold.
const MAX_RESOURCES: usize = 1_000;

/// The most random bytes of one call.
const MAX_RANDOM: u64 = 64 * 1024;

/// A call has a request and a response, each as one phase of a filter.
const PHASES: u32 = 2;

/// The data of an instance's store.
pub(super) struct HandlerState {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(super) egress: Egress,
    pub(super) memory: MemoryAccount,
    pub(super) cpu: CpuLimit,
    bounds: FilterBounds,
    /// Bytes of bodies that it got or gave.
    passed: Arc<AtomicU64>,
}

impl HandlerState {
    pub(super) fn new(
        environment: &[(String, String)],
        streams: LogStreams,
        egress: Egress,
        memory: MemoryAccount,
        cpu: CpuLimit,
        bounds: FilterBounds,
        passed: Arc<AtomicU64>,
    ) -> Self {
        let wasi = WasiCtx::builder()
            .envs(environment)
            .stdout(streams.out)
            .stderr(streams.err)
            .allow_ip_name_lookup(false)
            .allow_tcp(false)
            .allow_udp(false)
            .max_random_size(MAX_RANDOM)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            table,
            wasi,
            http: WasiHttpCtx::new(),
            egress,
            memory,
            cpu,
            bounds,
            passed,
        }
    }

    /// The CPU time that the call may have used by now: longer bodies get more.
    fn allowance(&self) -> std::time::Duration {
        let passed = self.passed.load(Ordering::Relaxed);
        self.bounds.cpu_for_body(passed).saturating_mul(PHASES)
    }

    /// Bound the CPU time and the memory of a store.
    pub(super) fn limit(store: &mut Store<Self>) {
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            let allowance = state.allowance();
            state.cpu.raise(allowance);
            state.cpu.tick()?;
            Ok(UpdateDeadline::Yield(1))
        });
    }
}

impl WasiView for HandlerState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for HandlerState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.egress,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
