//! Reads everything: at the start, when a ledger answers for the first time, and when it is another
//! one than before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::ledger::record::PlanRecord;
use super::super::ledger::{LedgerError, Loaded, Revision};
use super::super::limits::Plans;
use super::Shared;
use super::entry::entry;

impl Shared {
    pub(super) fn restore(&self) -> Result<(), LedgerError> {
        let now_ms = self.clock.now().wall_ms;
        // What a gateway that drains has left stands in the quotas from here on.
        drop(self.ledger.take_late_usage()?);
        self.ledger
            .load_quotas(now_ms, &mut |row| self.limits.restore(&row))
    }

    /// Everything, a piece at a time.
    pub(super) fn load(&self) -> Result<Revision, LedgerError> {
        let mut loading = self.index.load();
        let mut plans = Vec::new();
        let revision = self.ledger.load(&mut |loaded| match loaded {
            Loaded::Plan(plan) => plans.push(plan),
            Loaded::Keys(count) => loading.expect(count),
            Loaded::Key(key) => loading.put(&entry(key)),
        })?;
        drop(loading);
        self.plans.replace(self.enroll_all(&plans)?);
        self.loaded.store(true, Ordering::Relaxed);
        Ok(revision)
    }

    pub(super) fn enroll_all(&self, records: &[PlanRecord]) -> Result<Plans, LedgerError> {
        let mut plans = Plans::default();
        for record in records {
            if let Some(plan) = self.enroll(record)? {
                plans.insert(Arc::new(plan));
            }
        }
        Ok(plans)
    }

    /// Everything for the first time, though requests may have come.
    pub(super) fn load_late(&self) -> Result<Revision, LedgerError> {
        let revision = self.load_anew()?;
        self.restore()?;
        self.loaded.store(true, Ordering::Relaxed);
        tracing::info!(
            keys = self.index.len(),
            plans = self.plans.snapshot().len(),
            revision,
            "keys and plans are read from {}",
            self.ledger.name()
        );
        Ok(revision)
    }

    /// Everything anew, and nothing else any more.
    pub(super) fn reload(&self) -> Result<Revision, LedgerError> {
        tracing::error!(
            "the store {} is not the one that was there before (restored, or emptied): keys and plans are read anew",
            self.ledger.name()
        );
        self.load_anew()
    }

    pub(super) fn load_anew(&self) -> Result<Revision, LedgerError> {
        let mut keys = Vec::new();
        let mut plans = Vec::new();
        let revision = self.ledger.load(&mut |loaded| match loaded {
            Loaded::Plan(plan) => plans.push(plan),
            Loaded::Keys(count) => keys.reserve_exact(count),
            Loaded::Key(key) => keys.push(entry(key)),
        })?;
        let plans = self.enroll_all(&plans)?;
        self.index.replace(keys);
        self.plans.replace(plans);
        Ok(revision)
    }
}
