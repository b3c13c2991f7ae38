//! What was decided for each place of a chain, until the response tells it to the client.

use smallvec::SmallVec;

use super::{Decision, Level};

/// Where the bounds of a decision stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitLevels {
    /// The rate's state, where there is a rate.
    pub(crate) rate: Option<Level>,
    /// The quota's state, where there is a quota.
    pub(crate) quota: Option<Level>,
}

/// The last standing of each place in one exchange's chain. Seldom more than one, so a list that
/// is searched.
#[derive(Debug, Default)]
pub struct FilterLevels {
    entries: SmallVec<[(u16, LimitLevels); 1]>,
}

impl FilterLevels {
    /// Note what was decided for a place.
    pub(crate) fn record(&mut self, place: u16, decision: &Decision) {
        let standing = LimitLevels {
            rate: decision.rate,
            quota: decision.quota,
        };
        match self.entries.iter_mut().find(|(known, _)| *known == place) {
            Some((_, last)) => *last = standing,
            None => self.entries.push((place, standing)),
        }
    }

    /// What was decided last for a place.
    #[must_use]
    pub(crate) fn find(&self, place: u16) -> Option<LimitLevels> {
        let mut entries = self.entries.iter();
        entries
            .find(|(known, _)| *known == place)
            .map(|(_, standing)| *standing)
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
    fn each_place_has_its_last_decision() {
        let mut standings = FilterLevels::default();
        for (place, remaining) in [(0, 9), (3, 5), (0, 8)] {
            standings.record(place, &decision(remaining));
        }
        let remaining = |place| {
            standings
                .find(place)
                .map(|s| s.rate.map(|rate| rate.remaining))
        };
        assert_eq!(remaining(0), Some(Some(8)));
        assert_eq!(remaining(3), Some(Some(5)));
        assert_eq!(remaining(1), None);
    }
}
