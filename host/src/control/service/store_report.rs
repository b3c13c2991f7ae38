//! The options and the report of an import of a storage.

use std::collections::{HashMap, HashSet};

/// The most warnings that are reported; further ones are counted.
pub(crate) const MAX_STORE_WARNINGS: usize = 1000;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoreImport {
    /// Report the result and write nothing.
    pub(crate) dry_run: bool,
    /// Replace plans and keys that exist and differ.
    pub(crate) replace: bool,
}

/// The numbers of records of one kind, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ImportCounts {
    /// Records that did not exist.
    pub(crate) added: u64,
    /// Records that replaced different ones.
    pub(crate) replaced: u64,
    /// Records that exist and are identical.
    pub(crate) unchanged: u64,
    /// Records that were left out, each with a warning.
    pub(crate) left_out: u64,
}

/// The report of an import of a storage.
#[derive(Debug, Default)]
pub(crate) struct StoreReport {
    pub(crate) plans: ImportCounts,
    pub(crate) keys: ImportCounts,
    /// Days of usage.
    pub(crate) usage: ImportCounts,
    pub(crate) extensions: ImportCounts,
    /// Lines without a readable record.
    pub(crate) unreadable: u64,
    /// Why records were left out: the line in the file and the reason, for the first
    /// [`MAX_STORE_WARNINGS`].
    pub(crate) warnings: Vec<(u64, String)>,
    /// Plans that a dry run would have created.
    pub(super) new_plans: HashSet<String>,
    /// Digests of keys that a dry run would have created.
    pub(super) new_digests: HashMap<[u8; 32], String>,
}

/// The outcome of one record.
pub(super) enum RecordOutcome {
    Added,
    Replaced,
    Unchanged,
    LeftOut(String),
}

impl StoreReport {
    /// Adds a warning without a record.
    pub(crate) fn warn(&mut self, line: u64, message: String) {
        if self.warnings.len() < MAX_STORE_WARNINGS {
            self.warnings.push((line, message));
        }
    }

    /// Records a line without a readable record.
    pub(crate) fn record_unreadable(&mut self, line: u64, why: String) {
        self.unreadable += 1;
        self.warn(line, why);
    }

    /// Records the outcome of this line's record.
    pub(super) fn record_outcome(
        &mut self,
        tally: fn(&mut Self) -> &mut ImportCounts,
        line: u64,
        done: RecordOutcome,
    ) {
        let tally = tally(self);
        match done {
            RecordOutcome::Added => tally.added += 1,
            RecordOutcome::Replaced => tally.replaced += 1,
            RecordOutcome::Unchanged => tally.unchanged += 1,
            RecordOutcome::LeftOut(why) => {
                tally.left_out += 1;
                self.warn(line, why);
            }
        }
    }
}
