//! What was used, on its way to the ledger and from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Keeper, LedgerError, Shared, Touched};

/// Rows that are written in one transaction.
const ROWS: usize = 4096;

impl Keeper {
    /// Write what was used, and let a successor have the store. What is used after this is added to
    /// what the successor counts.
    pub(crate) fn let_go(&self) {
        let shared = &self.shared;
        let one_at_a_time = shared.flushing.lock();
        // What cannot be written now is written later, as all that is used from here on.
        shared.note("take what was used", shared.write(true));
        shared.leaving.store(true, Ordering::Relaxed);
        shared.ledger.let_go();
        drop(one_at_a_time);
    }

    /// Whether a successor may have the store.
    #[must_use]
    pub(crate) fn is_leaving(&self) -> bool {
        self.shared.leaving.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Count what is used by way of a gateway that drains.
    pub(super) fn take_late(&self) -> Result<(), LedgerError> {
        if self.leaving.load(Ordering::Relaxed) {
            return Ok(());
        }
        for late in self.ledger.take_late_usage()? {
            self.limits.add_late(&late);
        }
        Ok(())
    }

    pub(super) fn flush(&self, touched: bool) -> Result<(), LedgerError> {
        let _one_at_a_time = self.flushing.lock();
        self.write(touched)
    }

    /// While `flushing` is held.
    pub(super) fn write(&self, touched: bool) -> Result<(), LedgerError> {
        let leaving = self.leaving.load(Ordering::Relaxed);
        let mut used = Vec::new();
        self.limits.unsaved(&mut |delta| used.push(delta));
        let mut touches = Vec::new();
        if touched {
            self.index.touched(|id, at_ms| {
                touches.push(Touched {
                    key: Arc::from(id),
                    at_ms,
                });
            });
        }
        let mut failed = None;
        let mut unsaved = 0;
        for rows in used.chunks(ROWS) {
            // After a failure the rest waits for the next time, too.
            let saved = match failed {
                None if leaving => self.ledger.add_late_usage(rows),
                None => self.ledger.add_usage(rows, &[]),
                Some(_) => Ok(()),
            };
            if let Err(error) = saved {
                failed = Some(error);
            }
            if failed.is_some() {
                unsaved += rows.len() as u64;
                for row in rows {
                    self.limits.put_back(row.clone());
                }
            }
        }
        for rows in touches.chunks(ROWS) {
            if failed.is_none()
                && let Err(error) = self.ledger.add_usage(&[], rows)
            {
                failed = Some(error);
            }
            if failed.is_some() {
                self.index.untold(rows.iter().map(|touched| &*touched.key));
            }
        }
        self.unsaved.store(unsaved, Ordering::Relaxed);
        failed.map_or(Ok(()), Err)
    }
}
