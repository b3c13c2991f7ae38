//! What was used and is still to be told to the ledger.
//!
//! A counter that was used stands in the queue of its table, once; whoever saves takes it from
//! there. What cannot wait in its counter, as the day is over or the counter gone, waits here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::counter::PendingUsage;

/// Whose, and of which day.
type OutboxKey = (u32, Arc<str>, u32);

/// What waits outside of the counters, for each key in the order of days, so that of a quota the
/// last state is told last. Bounded.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<OutboxKey, PendingUsage>,
}

/// What was used by whom.
#[derive(Debug)]
pub(super) struct OwnerUsage {
    pub(crate) space: u32,
    pub(crate) key: Arc<str>,
    pub(crate) pending: PendingUsage,
}

impl Outbox {
    /// Let this wait, unless `most` wait already: then it is given back, and lost.
    pub(super) fn put(&mut self, delta: OwnerUsage, most: usize) -> Result<(), OwnerUsage> {
        let full = self.waiting.len() >= most;
        let OwnerUsage {
            space,
            key,
            pending: what,
        } = delta;
        match self.waiting.entry((space, key, what.day)) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.used = known.used.saturating_add(what.used);
                // A quota is told by its last state.
                known.quota = what.quota.or(known.quota);
            }
            Entry::Vacant(free) if full => {
                let (space, key, _) = free.into_key();
                return Err(OwnerUsage {
                    space,
                    key,
                    pending: what,
                });
            }
            Entry::Vacant(free) => {
                free.insert(what);
            }
        }
        Ok(())
    }

    /// The same for what could not be saved: older than what came here meanwhile.
    pub(super) fn put_older(&mut self, delta: OwnerUsage, most: usize) -> Result<(), OwnerUsage> {
        let whose = (delta.space, Arc::clone(&delta.key), delta.pending.day);
        let newer = self.waiting.get(&whose).and_then(|known| known.quota);
        let quota = newer.or(delta.pending.quota);
        let what = PendingUsage {
            quota,
            ..delta.pending
        };
        self.put(
            OwnerUsage {
                pending: what,
                ..delta
            },
            most,
        )
    }

    /// All that waits.
    pub(super) fn take(&mut self) -> impl Iterator<Item = OwnerUsage> + use<> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|((space, key, _), what)| OwnerUsage {
                space,
                key,
                pending: what,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::usage_rows::QuotaUsage;
    use crate::model::period::Period;

    fn delta(day: u32, used: i64, quota: Option<u64>) -> OwnerUsage {
        let quota = quota.map(|used| QuotaUsage {
            period: Period::Day,
            number: day,
            used,
        });
        OwnerUsage {
            space: 0,
            key: "acme".into(),
            pending: PendingUsage { day, used, quota },
        }
    }

    fn all(outbox: &mut Outbox) -> Vec<(u32, i64, Option<u64>)> {
        let told = outbox.take().map(|delta| delta.pending);
        told.map(|what| (what.day, what.used, what.quota.map(|quota| quota.used)))
            .collect()
    }

    #[test]
    fn days_are_told_in_order_and_a_quota_by_its_last_state() {
        let mut outbox = Outbox::default();
        for delta in [
            delta(8, 1, Some(11)),
            delta(7, 4, Some(4)),
            delta(7, -1, None),
            delta(7, 2, Some(5)),
        ] {
            assert!(outbox.put(delta, 9).is_ok());
        }
        // What could not be saved is older than that.
        assert!(outbox.put_older(delta(7, 3, Some(3)), 9).is_ok());
        assert!(outbox.put_older(delta(6, 2, Some(2)), 9).is_ok());
        let told = [(6, 2, Some(2)), (7, 8, Some(5)), (8, 1, Some(11))];
        assert_eq!(all(&mut outbox), told);
        assert_eq!(all(&mut outbox), []);
    }

    #[test]
    fn what_has_no_room_is_given_back() {
        let mut outbox = Outbox::default();
        assert!(outbox.put(delta(7, 1, None), 1).is_ok());
        let lost = outbox.put(delta(8, 2, None), 1).unwrap_err();
        assert_eq!((lost.pending.day, lost.pending.used), (8, 2));
        assert!(outbox.put(delta(7, 1, None), 1).is_ok());
        assert_eq!(all(&mut outbox), [(7, 2, None)]);
    }
}
