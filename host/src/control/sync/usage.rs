//! Moves usage to the storage and from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LastUse, StorageError, SyncShared};

/// Rows of one transaction.
const ROWS_PER_TRANSACTION: usize = 4096;

impl SyncShared {
    /// Writes the usage, and releases the storage to a successor. Later usage is added to the
    /// successor's counters.
    pub(crate) fn release(&self) {
        let one_at_a_time = self.flush_state.lock();
        // If this write fails, a later one has the rows, as all later usage.
        self.record_result("write usage", self.write(true));
        self.released.store(true, Ordering::Relaxed);
        self.storage.release();
        drop(one_at_a_time);
    }

    /// Whether a successor may have the storage.
    #[must_use]
    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
    }

    /// Counts the usage of a gateway that drains.
    pub(super) fn apply_drain_usage(&self) -> Result<(), StorageError> {
        if self.released.load(Ordering::Relaxed) {
            return Ok(());
        }
        for usage in self.storage.take_drain_usage()? {
            self.limits.local().add_drain_usage(&usage);
        }
        Ok(())
    }

    /// Writes the usage, and if `touched` also when keys were last used.
    ///
    /// # Errors
    ///
    /// The storage is out of reach; the usage is written later.
    pub(crate) fn flush(&self, touched: bool) -> Result<(), StorageError> {
        let _one_at_a_time = self.flush_state.lock();
        self.write(touched)
    }

    /// The caller must have locked `flush_state`.
    pub(super) fn write(&self, touched: bool) -> Result<(), StorageError> {
        let released = self.released.load(Ordering::Relaxed);
        let mut used = Vec::new();
        self.limits
            .take_pending_usage(&mut |delta| used.push(delta));
        let mut touches = Vec::new();
        if touched {
            self.index.touched(|id, at_ms| {
                touches.push(LastUse {
                    key: Arc::from(id),
                    at_ms,
                });
            });
        }
        let mut failed = None;
        let mut unsaved = 0;
        for rows in used.chunks(ROWS_PER_TRANSACTION) {
            // After a failure the remaining rows wait for the next write, too.
            let saved = match failed {
                None if released => self.storage.add_drain_usage(rows),
                None => self.storage.add_usage(rows, &[]),
                Some(_) => Ok(()),
            };
            if let Err(error) = saved {
                failed = Some(error);
            }
            if failed.is_some() {
                unsaved += rows.len() as u64;
                for row in rows {
                    self.limits.local().return_pending_usage(row.clone());
                }
            }
        }
        for rows in touches.chunks(ROWS_PER_TRANSACTION) {
            if failed.is_none()
                && let Err(error) = self.storage.add_usage(&[], rows)
            {
                failed = Some(error);
            }
            if failed.is_some() {
                self.index
                    .mark_touched(rows.iter().map(|touched| &*touched.key));
            }
        }
        self.unwritten_rows.store(unsaved, Ordering::Relaxed);
        failed.map_or(Ok(()), Err)
    }
}
