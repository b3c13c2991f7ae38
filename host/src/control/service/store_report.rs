//! The options and the report of an import of a storage.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

/// The most warnings that are reported; further ones are counted.
pub(crate) const MAX_STORE_WARNINGS: usize = 1000;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoreImport {
    /// Report the result and write nothing.
    pub(crate) dry_run: bool,
    /// Replace plans and keys that exist and differ.
    pub(crate) replace: bool,
}

/// The numbers of records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportTally)]
pub(crate) struct ImportCounts {
    /// Records that did not exist before.
    #[schema(minimum = 0)]
    pub(crate) added: u64,
    /// Records that replaced different ones.
    #[schema(minimum = 0)]
    pub(crate) replaced: u64,
    /// Records that exist and are identical.
    #[schema(minimum = 0)]
    pub(crate) unchanged: u64,
    /// Records that were left out, each with a warning.
    #[schema(minimum = 0)]
    pub(crate) left_out: u64,
}

/// A line of the file that was left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineWarning {
    /// The line's number, from 1.
    #[schema(minimum = 1)]
    pub(crate) line: u64,
    /// The error.
    pub(crate) message: String,
}

/// The report of an import of a store. With `dry_run` nothing was written.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = StoreImported)]
pub(crate) struct StoreReport {
    /// Whether nothing was written.
    pub(crate) dry_run: bool,
    /// Whether the file was complete; if not, send the whole file again.
    pub(crate) complete: bool,
    /// Plans.
    pub(crate) plans: ImportCounts,
    /// Keys.
    pub(crate) keys: ImportCounts,
    /// Days of usage of keys. A day that exists with less usage counts as replaced.
    pub(crate) usage: ImportCounts,
    /// Extensions of quotas.
    pub(crate) extensions: ImportCounts,
    /// Lines without a readable record.
    #[schema(minimum = 0)]
    pub(crate) unreadable: u64,
    /// Why records were left out: the first 1,000 warnings.
    pub(crate) warnings: Vec<LineWarning>,
    /// Plans that a dry run would have created.
    #[serde(skip)]
    pub(crate) new_plans: HashSet<String>,
    /// Digests of keys that a dry run would have created.
    #[serde(skip)]
    pub(crate) new_digests: HashMap<[u8; 32], String>,
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
            self.warnings.push(LineWarning { line, message });
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
