//! A sliding window that is never exceeded.
//!
//! The window is cut into [`PARTS`] equal parts, and the counts of the last `PARTS + 1` of them
//! are added up: those parts cover every moment of the window, wherever it begins. So in any span
//! of one window no more than the limit is taken, and an amount returns up to one part later than
//! with an exact log.
//!
//! Two fixed windows with the older one weighted, as many gateways have them, would need less
//! memory; they admit up to twice the limit in one window if requests come in bursts.

use crate::limits::{Level, NEVER_MS};

/// The parts of one window.
const PARTS: u64 = 10;
/// The parts that are counted.
const SLOTS: usize = 11;

/// The limit of a window and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowSpan {
    limit: u64,
    /// The length. Nanoseconds.
    window: u64,
}

impl WindowSpan {
    /// A window of at least ten milliseconds, and at most as much as its counts can hold.
    pub(crate) fn new(limit: u64, window_ms: u64) -> Self {
        Self {
            limit: limit.min(u32::MAX.into()),
            window: window_ms.max(10).saturating_mul(1_000_000),
        }
    }

    /// The length of one part. Nanoseconds, rounded up.
    fn part(&self) -> u64 {
        self.window.div_ceil(PARTS)
    }
}

/// The recent amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Window {
    /// The length of a part for these counts. Nanoseconds; 0 for an empty window.
    part: u64,
    /// The number of the newest part.
    newest: u64,
    /// Each part's count at its number modulo [`SLOTS`].
    counts: [u32; SLOTS],
}

impl Window {
    /// Brings it to this time, and gives it this length from now on.
    pub(crate) fn settle(&mut self, span: &WindowSpan, now_ns: u64) {
        let part = span.part();
        let number = now_ns / part;
        if self.part != part {
            // With another length, the whole count is treated as taken now.
            let used = match self.part {
                0 => 0,
                before => {
                    self.advance_to(now_ns / before);
                    self.used()
                }
            };
            *self = Self {
                part,
                newest: number,
                counts: [0; SLOTS],
            };
            self.add(used);
            return;
        }
        self.advance_to(number);
    }

    /// Drops the parts that have ended. A worker may pass a time that it read before another
    /// worker's.
    fn advance_to(&mut self, number: u64) {
        let passed = number.saturating_sub(self.newest);
        if passed == 0 {
            return;
        }
        for step in 1..=passed.min(SLOTS as u64) {
            if let Some(count) = self.counts.get_mut(slot(self.newest.saturating_add(step))) {
                *count = 0;
            }
        }
        self.newest = number;
        if passed >= SLOTS as u64 {
            self.counts = [0; SLOTS];
        }
    }

    fn used(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn add(&mut self, cost: u64) {
        if let Some(count) = self.counts.get_mut(slot(self.newest)) {
            *count = count.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
        }
    }

    /// Whether it is as good as new.
    pub(crate) fn is_empty(&self, now_ns: u64) -> bool {
        self.part == 0
            || now_ns / self.part >= self.newest.saturating_add(SLOTS as u64)
            || self.used() == 0
    }

    /// The time until this much may be taken; 0 if it may. Milliseconds, rounded up. The window
    /// must be settled.
    pub(crate) fn wait_ms(&self, span: &WindowSpan, cost: u64, now_ns: u64) -> u64 {
        if cost == 0 {
            return 0;
        }
        if cost > span.limit {
            return NEVER_MS;
        }
        let mut used = self.used();
        if used.saturating_add(cost) <= span.limit {
            return 0;
        }
        // The oldest part expires first.
        for age in (0..SLOTS as u64).rev() {
            used = used.saturating_sub(self.count_of(age));
            if used.saturating_add(cost) <= span.limit {
                return self.until_gone(age, now_ns);
            }
        }
        NEVER_MS
    }

    /// The count of the part of this age.
    fn count_of(&self, age: u64) -> u64 {
        let number = self.newest.checked_sub(age);
        let count = number.and_then(|number| self.counts.get(slot(number)));
        count.map_or(0, |count| u64::from(*count))
    }

    /// The time until the part of this age expires. Milliseconds, rounded up.
    fn until_gone(&self, age: u64, now_ns: u64) -> u64 {
        let gone = self.newest.saturating_sub(age).saturating_add(SLOTS as u64);
        let gone_ns = gone.saturating_mul(self.part);
        gone_ns.saturating_sub(now_ns).div_ceil(1_000_000)
    }

    /// Takes this much, after [`wait_ms`](Self::wait_ms) allowed it.
    pub(crate) fn take(&mut self, cost: u64) {
        self.add(cost);
    }

    /// Gives back: from the newest part first.
    pub(crate) fn give_back(&mut self, cost: u64) {
        let mut left = cost;
        for age in 0..SLOTS as u64 {
            let Some(number) = self.newest.checked_sub(age) else {
                return;
            };
            if let Some(count) = self.counts.get_mut(slot(number)) {
                let back = u32::try_from(left).unwrap_or(u32::MAX).min(*count);
                *count -= back;
                left -= u64::from(back);
            }
        }
    }

    /// Its level. The window must be settled.
    pub(crate) fn level(&self, span: &WindowSpan, now_ns: u64) -> Level {
        let newest = (0..SLOTS as u64).find(|age| self.count_of(*age) > 0);
        Level {
            limit: span.limit,
            remaining: span.limit.saturating_sub(self.used()),
            window_ms: span.window / 1_000_000,
            reset_ms: newest.map_or(0, |age| self.until_gone(age, now_ns)),
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it is below 11")]
fn slot(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_limit_is_exact_and_comes_back_within_a_part_of_the_window() {
        let span = WindowSpan::new(3, 1_000);
        let mut window = Window::default();
        for _ in 0..3 {
            window.settle(&span, 50 * MS);
            assert_eq!(window.wait_ms(&span, 1, 50 * MS), 0);
            window.take(1);
        }
        assert_eq!(window.wait_ms(&span, 1, 50 * MS), 1_050);
        let level = window.level(&span, 50 * MS);
        assert_eq!((level.limit, level.remaining), (3, 0));
        assert_eq!((level.window_ms, level.reset_ms), (1_000, 1_050));
        window.settle(&span, 1_099 * MS);
        assert_eq!(window.wait_ms(&span, 1, 1_099 * MS), 1);
        window.settle(&span, 1_100 * MS);
        assert_eq!(window.wait_ms(&span, 3, 1_100 * MS), 0);
        assert!(window.is_empty(1_100 * MS));
    }

    #[test]
    fn amounts_that_are_given_back_may_be_taken_again() {
        let span = WindowSpan::new(3, 1_000);
        let mut window = Window::default();
        for now in [0, 150 * MS, 250 * MS] {
            window.settle(&span, now);
            window.take(1);
        }
        window.give_back(2);
        assert_eq!(window.wait_ms(&span, 2, 250 * MS), 0);
        assert_eq!(window.wait_ms(&span, 3, 250 * MS), 850);
        window.give_back(9);
        assert!(window.is_empty(250 * MS));
    }

    #[test]
    fn another_length_keeps_the_count() {
        let mut window = Window::default();
        let (long, short) = (WindowSpan::new(5, 60_000), WindowSpan::new(5, 1_000));
        window.settle(&long, 0);
        window.take(4);
        window.settle(&short, 100 * MS);
        assert_eq!(window.level(&short, 100 * MS).remaining, 1);
        assert_eq!(window.wait_ms(&short, 6, 100 * MS), NEVER_MS);
    }

    proptest! {
        /// Compares with a log of all requests: no window admits more than the limit, nothing is
        /// refused that fits into a window that is a part longer, and a reported wait is enough.
        #[test]
        fn no_window_is_exceeded_and_nothing_is_refused_that_fits(
            limit in 1_u64..20,
            window_ms in 10_u64..3_000,
            steps in proptest::collection::vec((0_u64..700, 1_u64..4), 1..200),
        ) {
            let span = WindowSpan::new(limit, window_ms);
            let mut window = Window::default();
            let mut log: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for (pause_ms, cost) in steps {
                now += pause_ms * MS;
                window.settle(&span, now);
                let wait_ms = window.wait_ms(&span, cost, now);
                let within = |length: u64| -> u64 {
                    let taken = log.iter().filter(|(at, _)| now - at < length);
                    taken.map(|(_, cost)| cost).sum()
                };
                if wait_ms == 0 {
                    prop_assert!(within(span.window) + cost <= limit);
                    window.take(cost);
                    log.push((now, cost));
                } else if cost > limit {
                    prop_assert_eq!(wait_ms, NEVER_MS);
                } else {
                    prop_assert!(within(span.part() * 11) + cost > limit);
                    let mut later = window;
                    let then = now + wait_ms * MS;
                    later.settle(&span, then);
                    prop_assert_eq!(later.wait_ms(&span, cost, then), 0);
                }
            }
        }
    }
}
