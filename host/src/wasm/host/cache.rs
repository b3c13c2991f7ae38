//! `windlass:host/cache`.

use wasmtime::Result;

use super::HostFunctions;
use crate::runtime::clock::Timestamp;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_in_phase("get", |state, (key,): (String,)| {
        let value = state.filter_services.cache.find(&key, now_ms());
        Ok((value.map(|value| value.to_vec()),))
    })?;
    functions.add_in_phase(
        "put",
        |state, (key, value, ttl_ms): (String, Vec<u8>, u64)| {
            let cache = &state.filter_services.cache;
            Ok((cache.put(&key, &value, ttl_ms, now_ms()),))
        },
    )?;
    functions.add_in_phase("delete", |state, (key,): (String,)| {
        state.filter_services.cache.delete(&key);
        Ok(())
    })?;
    functions.add_in_phase(
        "increment",
        |state, (key, delta, ttl_ms): (String, i64, u64)| {
            let cache = &state.filter_services.cache;
            Ok((cache.increment(&key, delta, ttl_ms, now_ms()),))
        },
    )
}

/// The clock of caches: milliseconds that never step.
fn now_ms() -> u64 {
    Timestamp::now().monotonic_ms()
}
