//! The host interfaces of `wit/deps/windlass-host`, one file each.
//!
//! Each function first charges its call to the phase's account, and then the bytes that stay in the
//! host. An error of Rust's `Result` traps the guest; a refusal that the contract defines is a value.

pub(super) mod advice;
mod api_description;
mod cache;
pub(crate) mod callout;
mod crypto;
mod documents;
pub(super) mod edit;
mod exchange;
pub(super) mod hot;
pub(super) mod jwt;
mod keys;
pub(super) mod limits;
mod log;
mod metrics;
mod preflights;
mod problem_members;
mod proof;
pub(super) mod rates;
mod raw_params;
mod refused;
pub(super) mod response_edits;

use super::state::InstanceState;

use crate::runtime::clock::Timestamp;

impl super::bindings::types::Host for InstanceState {}

/// Windlass host interfaces other than `log`, `advice`, `preflights`, `response-edits`, `documents`, `rates.define` and `jwt.define` are for phases,
/// not for `configure`.
fn in_phase(state: &InstanceState) -> wasmtime::Result<()> {
    if state.exchange.is_none() {
        wasmtime::bail!("called a host interface while no exchange was there (in `configure`?)");
    }
    Ok(())
}

/// The clock of caches: milliseconds that never step.
fn now_ms() -> u64 {
    Timestamp::now().monotonic_ms()
}
