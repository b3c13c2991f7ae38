//! One bound of one key, as far as this gateway may use it up. Pure.

use super::super::time::Timestamp;

/// What is not used for so long goes back. Nanoseconds.
const RETURN_AFTER_NS: u64 = 1_000_000_000;

/// A part of a shared budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lease {
    /// The most that is held.
    pub size: u64,
    /// Taken out of the budget and not yet used.
    pub granted: u64,
    /// Used without having been granted, and not yet told.
    pub debt: u64,
    /// The same, told and not yet acknowledged.
    flying: u64,
    /// How much may be used without having been granted until the next answer.
    allowance: u64,
    /// What was left of the budget by the last answer.
    pub left: u64,
    /// Before this moment another answer would be no better. Nanoseconds.
    ask_ns: u64,
    /// When it was last used or wanted. Nanoseconds.
    used_ns: u64,
    /// The most that was asked for at once and refused.
    lacked: u64,
}

/// What a lease has to tell, and asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// What was used without having been granted.
    pub spent: u64,
    /// What goes back.
    pub back: u64,
    /// How much more is wanted.
    pub want: u64,
}

/// What the budget gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grant {
    /// So much of what was wanted.
    pub granted: u64,
    /// What is left in the budget.
    pub left: u64,
    /// Until more can be there. Milliseconds.
    pub wait_ms: u64,
}

impl Lease {
    /// Of a key that this gateway did not meet yet: so much may be used before the first answer.
    pub(super) fn first(size: u64, allowance: u64, now: Timestamp) -> Self {
        Self {
            size,
            allowance: allowance.min(size),
            left: size,
            used_ns: now.monotonic_ns,
            ..Self::default()
        }
    }

    /// What may be used now.
    pub(super) fn available(&self) -> u64 {
        let owed = self.debt.saturating_add(self.flying);
        self.granted
            .saturating_add(self.allowance.saturating_sub(owed))
    }

    /// Use so much: what was granted first, and the rest on debt.
    pub(super) fn spend(&mut self, cost: u64, now: Timestamp) {
        let granted = self.granted.min(cost);
        self.granted -= granted;
        self.debt = self.debt.saturating_add(cost - granted);
        self.used_ns = self.used_ns.max(now.monotonic_ns);
    }

    /// So much was wanted, and is not there.
    pub(super) fn lack(&mut self, cost: u64, now: Timestamp) {
        self.lacked = self.lacked.max(cost);
        self.used_ns = self.used_ns.max(now.monotonic_ns);
    }

    /// Undo a spending: debts first, as they may be above what is there.
    pub(super) fn give_back(&mut self, cost: u64) {
        let debt = self.debt.min(cost);
        self.debt -= debt;
        self.granted = self.granted.saturating_add(cost - debt);
    }

    /// Whether it is worth while to ask for more.
    pub(super) fn is_low(&self, now: Timestamp) -> bool {
        (self.granted <= self.size / 2 || self.lacked > self.granted)
            && now.monotonic_ns >= self.ask_ns
    }

    /// Whether there is something to tell, or to give back.
    pub(super) fn is_unsettled(&self, now: Timestamp) -> bool {
        self.debt > 0 || self.granted > 0 && self.is_unused(now)
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_empty(&self) -> bool {
        self.granted == 0 && self.debt == 0 && self.flying == 0
    }

    /// Nanoseconds.
    pub(super) fn used_ns(&self) -> u64 {
        self.used_ns
    }

    fn is_unused(&self, now: Timestamp) -> bool {
        now.monotonic_ns.saturating_sub(self.used_ns) >= RETURN_AFTER_NS
    }

    /// What is to be told now. [`settle`](Self::settle) must follow,
    /// with whatever came of it.
    pub(super) fn order(&mut self, now: Timestamp, ending: bool) -> Order {
        let spent = std::mem::take(&mut self.debt);
        self.flying = self.flying.saturating_add(spent);
        if ending || self.is_unused(now) {
            let back = std::mem::take(&mut self.granted);
            return Order {
                spent,
                back,
                want: 0,
            };
        }
        let want = self.size.max(self.lacked).saturating_sub(self.granted);
        Order {
            spent,
            back: 0,
            want,
        }
    }

    /// An order was carried out; so many gateways share the budget.
    pub(super) fn settle(&mut self, order: Order, grant: Grant, gateways: u64, now: Timestamp) {
        self.flying = self.flying.saturating_sub(order.spent);
        self.granted = self.granted.saturating_add(grant.granted);
        self.left = grant.left;
        // What others do with it meanwhile is not known: together, half of it at the most.
        let share = grant.left / gateways.max(1).saturating_mul(2);
        self.allowance = share.min(self.size);
        self.lacked = 0;
        self.ask_ns = if order.want > 0 && grant.granted < order.want && grant.left == 0 {
            let wait_ns = grant.wait_ms.max(1).saturating_mul(1_000_000);
            now.monotonic_ns.saturating_add(wait_ns)
        } else {
            now.monotonic_ns
        };
    }

    /// Until it is worth while to try again. Milliseconds, at least 1.
    pub(super) fn wait_ms(&self, now: Timestamp) -> u64 {
        let wait_ns = self.ask_ns.saturating_sub(now.monotonic_ns);
        wait_ns.div_ceil(1_000_000).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp {
            monotonic_ns: ms * 1_000_000,
            wall_ms: 0,
        }
    }

    #[test]
    fn the_first_answer_takes_what_was_used_before_it() {
        let mut lease = Lease::first(10, 10, at(0));
        assert_eq!(lease.available(), 10);
        assert!(lease.is_low(at(0)));
        lease.spend(4, at(0));
        let order = lease.order(at(0), false);
        let wanted = Order {
            spent: 4,
            back: 0,
            want: 10,
        };
        assert_eq!(order, wanted);
        // While it is told, the allowance does not grow.
        assert_eq!(lease.available(), 6);
        lease.spend(6, at(0));
        assert_eq!(lease.available(), 0);
        let grant = Grant {
            granted: 3,
            left: 0,
            wait_ms: 50,
        };
        lease.settle(order, grant, 2, at(1));
        // 6 are owed, 3 are there, and nothing more may be owed.
        assert_eq!((lease.debt, lease.available()), (6, 3));
        assert!(!lease.is_low(at(50)));
        assert!(lease.is_low(at(51)));
    }

    #[test]
    fn what_is_not_used_goes_back() {
        let mut lease = Lease::first(10, 0, at(0));
        let order = lease.order(at(0), false);
        let grant = Grant {
            granted: 10,
            left: 90,
            wait_ms: 0,
        };
        lease.settle(order, grant, 1, at(0));
        assert!(!lease.is_unsettled(at(999)));
        assert!(lease.is_unsettled(at(1000)));
        let order = lease.order(at(1000), false);
        assert_eq!((order.back, order.want), (10, 0));
        let none = Grant {
            left: 100,
            ..Grant::default()
        };
        lease.settle(order, none, 1, at(1000));
        assert!(lease.is_empty());
        let order = lease.order(at(1000), false);
        assert_eq!(order.want, 0, "while nobody asks");
        lease.lack(1, at(1000));
        let order = lease.order(at(1000), false);
        lease.settle(order, grant, 1, at(1000));
        lease.spend(1, at(1000));
        assert_eq!(lease.order(at(1001), false).back, 0);
        assert_eq!(lease.order(at(1001), true).back, 9);
    }

    proptest! {
        /// Whatever happens, all that was used was granted or is owed, and what may be owed is
        /// never more than the size.
        #[test]
        fn nothing_is_used_that_is_not_accounted_for(
            steps in proptest::collection::vec((0_u8..4, 0_u64..20), 0..60),
            size in 1_u64..30,
            budget in 0_u64..200,
        ) {
            let mut lease = Lease::first(size, size, at(0));
            let (mut used, mut taken, mut left) = (0_u64, 0_i128, i128::from(budget));
            let mut flying: Option<Order> = None;
            for (step, amount) in steps {
                match step {
                    0 | 1 if amount <= lease.available() => {
                        lease.spend(amount, at(0));
                        used += amount;
                    }
                    2 if flying.is_none() => flying = Some(lease.order(at(0), false)),
                    3 => if let Some(order) = flying.take() {
                        left -= i128::from(order.spent);
                        taken += i128::from(order.spent);
                        let share = left.clamp(0, i128::from(order.want)) / 2;
                        let granted = u64::try_from(share).unwrap();
                        left -= share;
                        taken += share;
                        let grant = Grant {
                            granted,
                            left: u64::try_from(left.max(0)).unwrap(),
                            wait_ms: 1,
                        };
                        lease.settle(order, grant, 2, at(0));
                    },
                    _ => {}
                }
                let owed = i128::from(lease.debt) + i128::from(flying.map_or(0, |order| order.spent));
                prop_assert_eq!(i128::from(used) + i128::from(lease.granted), taken + owed);
                prop_assert!(used <= budget + size, "{used} of {budget}");
            }
        }
    }
}
