//! The levels of each filter's last decision, until the response shows them to the client.

use smallvec::SmallVec;

use super::{Decision, Level};

/// The levels of a decision's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitLevels {
    /// The rate's level, if there is a rate.
    pub(crate) rate: Option<Level>,
    /// The quota's level, if there is a quota.
    pub(crate) quota: Option<Level>,
}

/// The last levels of each filter in one exchange's chain. Seldom more than one, so a list is
/// searched.
#[derive(Debug, Default)]
pub struct FilterLevels {
    entries: SmallVec<[(u16, LimitLevels); 1]>,
}

impl FilterLevels {
    /// Records a decision of a filter.
    pub(crate) fn record(&mut self, filter: u16, decision: &Decision) {
        let levels = LimitLevels {
            rate: decision.rate,
            quota: decision.quota,
        };
        match self
            .entries
            .iter_mut()
            .find(|(number, _)| *number == filter)
        {
            Some((_, last)) => *last = levels,
            None => self.entries.push((filter, levels)),
        }
    }

    /// The last levels of a filter.
    #[must_use]
    pub(crate) fn find(&self, filter: u16) -> Option<LimitLevels> {
        let mut entries = self.entries.iter();
        entries
            .find(|(number, _)| *number == filter)
            .map(|(_, levels)| *levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(remaining: u64) -> Decision {
        Decision {
            allowed: true,
            refused_by: None,
            retry_after_ms: 0,
            rate: Some(Level {
                limit: 10,
                remaining,
                window_ms: 1,
                reset_ms: 1,
            }),
            quota: None,
            shared: None,
            ticket: None,
            pending: false,
            lacks_room: false,
        }
    }

    #[test]
    fn each_filter_has_its_last_decision() {
        let mut levels = FilterLevels::default();
        for (filter, remaining) in [(0, 9), (3, 5), (0, 8)] {
            levels.record(filter, &decision(remaining));
        }
        let remaining = |filter| {
            levels
                .find(filter)
                .map(|last| last.rate.map(|rate| rate.remaining))
        };
        assert_eq!(remaining(0), Some(Some(8)));
        assert_eq!(remaining(3), Some(Some(5)));
        assert_eq!(remaining(1), None);
    }
}
