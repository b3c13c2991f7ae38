//! Usage that is still to be reported to the storage.
//!
//! A used counter is in the queue of its table, once, and the sync takes usage from there. Usage
//! that its counter cannot hold, because the day has ended or the counter was dropped, waits here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::counter::PendingUsage;

/// The owner and the day.
type OutboxKey = (u32, Arc<str>, u32);

/// Usage outside of the counters, for each key in the order of days, so that the last state of a
/// quota is reported last. Bounded.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<OutboxKey, PendingUsage>,
}

/// Usage with its owner.
#[derive(Debug)]
pub(super) struct OwnerUsage {
    pub(crate) space: u32,
    pub(crate) key: Arc<str>,
    pub(crate) pending: PendingUsage,
}

impl Outbox {
    /// Adds usage, unless `most` entries wait already: then it is returned, and lost.
    pub(super) fn put(&mut self, delta: OwnerUsage, most: usize) -> Result<(), OwnerUsage> {
        let full = self.waiting.len() >= most;
        let OwnerUsage {
            space,
            key,
            pending,
        } = delta;
        match self.waiting.entry((space, key, pending.day)) {
            Entry::Occupied(mut waiting) => {
                let waiting = waiting.get_mut();
                waiting.used = waiting.used.saturating_add(pending.used);
                // The last state of a quota counts.
                waiting.quota = pending.quota.or(waiting.quota);
            }
            Entry::Vacant(free) if full => {
                let (space, key, _) = free.into_key();
                return Err(OwnerUsage {
                    space,
                    key,
                    pending,
                });
            }
            Entry::Vacant(free) => {
                free.insert(pending);
            }
        }
        Ok(())
    }

    /// Adds usage that could not be written, and that is older than later entries.
    pub(super) fn put_older(
        &mut self,
        mut delta: OwnerUsage,
        most: usize,
    ) -> Result<(), OwnerUsage> {
        let owner = (delta.space, Arc::clone(&delta.key), delta.pending.day);
        let newer = self.waiting.get(&owner).and_then(|waiting| waiting.quota);
        delta.pending.quota = newer.or(delta.pending.quota);
        self.put(delta, most)
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> impl Iterator<Item = OwnerUsage> + use<> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|((space, key, _), pending)| OwnerUsage {
                space,
                key,
                pending,
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
            extra: 0,
        });
        OwnerUsage {
            space: 0,
            key: "acme".into(),
            pending: PendingUsage { day, used, quota },
        }
    }

    fn all(outbox: &mut Outbox) -> Vec<(u32, i64, Option<u64>)> {
        let taken = outbox.take().map(|delta| delta.pending);
        let used = |quota: QuotaUsage| quota.used;
        taken
            .map(|usage| (usage.day, usage.used, usage.quota.map(used)))
            .collect()
    }

    #[test]
    fn days_come_in_order_and_a_quota_with_its_last_state() {
        let mut outbox = Outbox::default();
        for delta in [
            delta(8, 1, Some(11)),
            delta(7, 4, Some(4)),
            delta(7, -1, None),
            delta(7, 2, Some(5)),
        ] {
            assert!(outbox.put(delta, 9).is_ok());
        }
        // Usage that could not be written is older than that.
        assert!(outbox.put_older(delta(7, 3, Some(3)), 9).is_ok());
        assert!(outbox.put_older(delta(6, 2, Some(2)), 9).is_ok());
        let expected = [(6, 2, Some(2)), (7, 8, Some(5)), (8, 1, Some(11))];
        assert_eq!(all(&mut outbox), expected);
        assert_eq!(all(&mut outbox), []);
    }

    #[test]
    fn usage_without_room_is_given_back() {
        let mut outbox = Outbox::default();
        assert!(outbox.put(delta(7, 1, None), 1).is_ok());
        let lost = outbox.put(delta(8, 2, None), 1).unwrap_err();
        assert_eq!((lost.pending.day, lost.pending.used), (8, 2));
        assert!(outbox.put(delta(7, 1, None), 1).is_ok());
        assert_eq!(all(&mut outbox), [(7, 2, None)]);
    }
}
