//! Counts of the decisions about charges to one usage plan, by result.
//!
//! A plan's name keeps its counts over reloads and changes of the plan. Each worker has a cell of its own, so that
//! workers share no cache line; two cells are one only beyond [`CELLS`] workers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{BoundKind, Decision};

/// How many workers have a cell of their own.
const CELLS: usize = 16;

/// The results of charges.
pub(crate) const CHARGE_RESULTS: [&str; 4] =
    ["admitted", "throttled", "quota_spent", "unavailable"];

/// Counts by the results of [`CHARGE_RESULTS`].
#[derive(Debug, Default)]
pub(crate) struct PlanStats([PlanCell; CELLS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct PlanCell([AtomicU64; CHARGE_RESULTS.len()]);

impl PlanStats {
    /// Counts a decision that a worker got.
    pub(crate) fn count(&self, worker: usize, decision: &Decision) {
        let result = match decision.refused_by {
            None => 0,
            Some(BoundKind::Method | BoundKind::Plan | BoundKind::Route | BoundKind::Gateway) => 1,
            Some(BoundKind::Quota) => 2,
            Some(BoundKind::Unavailable) => 3,
        };
        let cell = self.0.get(worker % CELLS);
        if let Some(counter) = cell.and_then(|cell| cell.0.get(result)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts, summed over the workers.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CHARGE_RESULTS
            .into_iter()
            .enumerate()
            .map(|(index, result)| {
                let counters = self.0.iter().filter_map(move |cell| cell.0.get(index));
                let counts = counters.map(|counter| counter.load(Ordering::Relaxed));
                (result, counts.sum())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_of_all_workers_are_counted_by_result() {
        let stats = PlanStats::default();
        let refused = |by| Decision {
            refused_by: Some(by),
            ..Decision::NOTHING
        };
        stats.count(0, &Decision::NOTHING);
        stats.count(CELLS + 1, &Decision::NOTHING);
        stats.count(1, &refused(BoundKind::Quota));
        stats.count(2, &refused(BoundKind::Gateway));
        stats.count(3, &refused(BoundKind::Unavailable));
        let totals: Vec<u64> = stats.totals().map(|(_, count)| count).collect();
        assert_eq!(totals, [2, 1, 1, 1]);
    }
}
