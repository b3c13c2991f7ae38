//! What an import of a store is told to do, and what it did.

use std::collections::{HashMap, HashSet};

/// The most warnings that are told; the others are counted.
pub(crate) const MAX_STORE_WARNINGS: usize = 1000;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoreImport {
    /// Tell what would be done, and write nothing.
    pub(crate) dry_run: bool,
    /// Plans and keys that are there and differ are replaced.
    pub(crate) replace: bool,
}

/// What became of the records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ImportCounts {
    /// Records that were not there.
    pub(crate) added: u64,
    /// Records in whose place another was.
    pub(crate) replaced: u64,
    /// Records that are there and the same.
    pub(crate) unchanged: u64,
    /// Records that were left out, each with a warning.
    pub(crate) left_out: u64,
}

/// What an import of a store did, or would do.
#[derive(Debug, Default)]
pub(crate) struct StoreReport {
    pub(crate) plans: ImportCounts,
    pub(crate) keys: ImportCounts,
    /// Days of usage.
    pub(crate) usage: ImportCounts,
    pub(crate) extensions: ImportCounts,
    /// Lines that hold no record.
    pub(crate) unreadable: u64,
    /// Why records were left out: the line in the file and the reason, the first
    /// [`MAX_STORE_WARNINGS`] of them.
    pub(crate) warnings: Vec<(u64, String)>,
    /// Plans that a dry run would have made.
    pub(super) new_plans: HashSet<String>,
    /// Digests of keys that a dry run would have made.
    pub(super) new_digests: HashMap<[u8; 32], String>,
}

/// What became of one record.
pub(super) enum RecordOutcome {
    Added,
    Replaced,
    Unchanged,
    LeftOut(String),
}

impl StoreReport {
    /// A warning beside the records.
    pub(crate) fn warn(&mut self, line: u64, message: String) {
        if self.warnings.len() < MAX_STORE_WARNINGS {
            self.warnings.push((line, message));
        }
    }

    /// A line that holds no record.
    pub(crate) fn record_unreadable(&mut self, line: u64, why: String) {
        self.unreadable += 1;
        self.warn(line, why);
    }

    /// What became of the record of this line.
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
