//! Compiled functions, kept in memory: for a plugin that is built again and again (`windlass plugin dev`).
//!
//! A Python or `QuickJS` component differs from the one before mostly in its data, and most functions of a Rust component
//! are those of the build before. The compiler asks here for each function by a digest of its code, so that only new
//! functions are compiled. A gateway that serves has none of this: it keeps whole components on disk
//! ([`super::component_cache`]).

use std::borrow::Cow;
use std::sync::Arc;

use moka::sync::Cache;
use wasmtime::CacheStore;

/// The most that is kept: some builds of a Python component. Bytes.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// The compiled functions of one process.
#[derive(Debug)]
pub(super) struct FunctionCache(Cache<Arc<[u8]>, Arc<[u8]>>);

impl FunctionCache {
    /// No function yet.
    #[must_use]
    pub(super) fn new() -> Self {
        let weight = |key: &Arc<[u8]>, code: &Arc<[u8]>| {
            u32::try_from(key.len() + code.len()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().weigher(weight).max_capacity(MAX_BYTES);
        Self(cache.build())
    }
}

impl CacheStore for FunctionCache {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let code = self.0.get(key)?;
        Some(Cow::Owned(code.to_vec()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.0.insert(key.into(), value.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Module};

    use super::*;

    /// A module with one function, which gives 1 (WebAssembly, Binary Format).
    const MODULE: &[u8] =
        b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x06\x01\x04\0\x41\x01\x0b";

    #[test]
    fn a_function_that_did_not_change_is_compiled_once() {
        let cache = Arc::new(FunctionCache::new());
        let mut config = Config::new();
        config
            .enable_incremental_compilation(cache.clone())
            .unwrap();
        let engine = Engine::new(&config).unwrap();
        let count = || {
            cache.0.run_pending_tasks();
            cache.0.entry_count()
        };
        Module::new(&engine, MODULE).unwrap();
        let functions = count();
        assert!(functions > 0);
        // Another build of it: a custom section more.
        let next = [MODULE, b"\0\x03\x01ab"].concat();
        Module::new(&engine, next).unwrap();
        assert_eq!(count(), functions);
    }
}
