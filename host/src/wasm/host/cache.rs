//! `windlass:host/cache`.

use wasmtime::Result;

use crate::wasm::bindings::cache::Host;
use crate::wasm::state::InstanceState;

impl Host for InstanceState {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        self.charge_call()?;
        super::in_phase(self)?;
        let value = self.filter_services.cache.find(&key, super::now_ms());
        Ok(value.map(|value| value.to_vec()))
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) -> Result<bool> {
        self.charge_call()?;
        super::in_phase(self)?;
        Ok(self
            .filter_services
            .cache
            .put(&key, &value, ttl_ms, super::now_ms()))
    }

    fn delete(&mut self, key: String) -> Result<()> {
        self.charge_call()?;
        super::in_phase(self)?;
        self.filter_services.cache.delete(&key);
        Ok(())
    }

    fn increment(&mut self, key: String, delta: i64, ttl_ms: u64) -> Result<i64> {
        self.charge_call()?;
        super::in_phase(self)?;
        Ok(self
            .filter_services
            .cache
            .increment(&key, delta, ttl_ms, super::now_ms()))
    }
}
