//! The linear memory of one instance: its own cap, and its share of the process's budget.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::engine::{MAX_TABLE_ELEMENTS, MemoryBudget};

/// The memory of an instance. Gives it back to the budget when dropped.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    cap: u64,
    /// How much the instance uses. Bytes.
    pub(super) used: u64,
    budget: Arc<MemoryBudget>,
    /// Why memory was refused last in the running call, if it was.
    pub(super) refused: Option<MemoryRefused>,
}

/// The reason why memory was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MemoryRefused {
    /// The instance's own cap.
    #[error("wanted more than its {cap} bytes of memory: raise `limits.memory` if it needs more")]
    Cap { cap: u64 },
    /// The process's budget.
    #[error("the memory of all filters together is used up: raise `[wasm] memory`")]
    Budget,
    #[error(
        "wanted a table of more than {MAX_TABLE_ELEMENTS} elements: no setting raises this, so build it with fewer functions"
    )]
    Table,
}

impl MemoryAccount {
    #[must_use]
    pub(crate) fn new(cap: u64, budget: Arc<MemoryBudget>) -> Self {
        Self {
            cap,
            used: 0,
            budget,
            refused: None,
        }
    }

    fn grow(&mut self, by: u64) -> Result<(), MemoryRefused> {
        if self.used.saturating_add(by) > self.cap {
            return Err(MemoryRefused::Cap { cap: self.cap });
        }
        if !self.budget.take(by) {
            return Err(MemoryRefused::Budget);
        }
        self.used += by;
        Ok(())
    }
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.budget.give_back(self.used);
    }
}

impl ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let by = desired.saturating_sub(current) as u64;
        match self.grow(by) {
            Ok(()) => Ok(true),
            Err(refused) => {
                self.refused = Some(refused);
                // The guest's `memory.grow` gives -1. An error here would trap.
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE_ELEMENTS {
            self.refused = Some(MemoryRefused::Table);
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_gives_its_memory_back() {
        let budget = Arc::new(MemoryBudget::new(100));
        let mut account = MemoryAccount::new(60, budget.clone());
        assert!(account.memory_growing(0, 50, None).unwrap());
        assert!(!account.memory_growing(50, 70, None).unwrap());
        assert_eq!(account.refused, Some(MemoryRefused::Cap { cap: 60 }));
        let mut other = MemoryAccount::new(60, budget.clone());
        assert!(!other.memory_growing(0, 60, None).unwrap());
        assert_eq!(other.refused, Some(MemoryRefused::Budget));
        drop(account);
        assert!(other.memory_growing(0, 60, None).unwrap());
    }
}
