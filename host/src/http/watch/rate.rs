//! How fast a client sends a body and reads a response, against the least that its listener asks for.
//!
//! The watch task looks at each connection once a tick. A look at which the client is waited for counts as a
//! tick of waiting, so a request pays for nothing but a count of its bytes. Time in which the gateway, a filter or
//! the endpoint is slow does not count. The first part of the waiting, as long as the time-out of a single wait,
//! is free: only who goes on to be slow is slow.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::{ExchangeFacts, SharedFlag, TimeoutKind, Watch};
use crate::model::limit::LimitKind;

/// The least rates, in bytes a second; none: any is enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MinRates {
    pub(super) body: Option<u64>,
    pub(super) response: Option<u64>,
}

/// The waiting for the client of one exchange, and the bytes that it has read.
#[derive(Debug, Default)]
pub(super) struct RateSamples {
    /// Milliseconds.
    body_wait: AtomicU32,
    /// Milliseconds.
    response_wait: AtomicU32,
    response_bytes: AtomicU64,
    /// Whether its body may come at any rate.
    is_body_exempt: SharedFlag,
}

impl RateSamples {
    /// The next exchange begins.
    pub(super) fn begin(&self) {
        self.body_wait.store(0, Relaxed);
        self.response_wait.store(0, Relaxed);
        self.response_bytes.store(0, Relaxed);
        self.is_body_exempt.set(false);
    }

    pub(super) fn note_response(&self, count: usize) {
        let before = self.response_bytes.load(Relaxed);
        let sum = before.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.response_bytes.store(sum, Relaxed);
    }
}

impl ExchangeFacts {
    /// So many bytes were written to the client.
    pub(crate) fn note_response(&self, count: usize) {
        self.rates.note_response(count);
    }
}

/// Whether so many bytes in so much waiting are too few. The first `free` milliseconds do not count.
fn is_too_slow(bytes: u64, waited: u64, free: u64, least: u64) -> bool {
    waited > free && bytes.saturating_mul(1000) < least.saturating_mul(waited - free)
}

impl Watch {
    /// The rest of the present request's body may come at any rate.
    pub(crate) fn exempt_body_from_rate(&self) {
        self.exchange.rates.is_body_exempt.set(true);
    }

    /// Count a tick for whatever the client is waited for, and end the wait for one that is too slow.
    pub(super) fn check_rates(&self) {
        let (rates, least) = (&self.exchange.rates, self.limits.min_rates);
        if let (Some(least), Some(free)) = (least.body, self.limits.body)
            && self.is_armed(TimeoutKind::Body)
            && !rates.is_body_exempt.get()
        {
            let waited = self.count_tick(&rates.body_wait);
            if is_too_slow(self.request_bytes(), waited, free, least) {
                self.end_slow_wait(TimeoutKind::Body, LimitKind::BodyRate);
            }
        }
        if let Some(least) = least.response
            && self.is_armed(TimeoutKind::Write)
        {
            let waited = self.count_tick(&rates.response_wait);
            let bytes = rates.response_bytes.load(Relaxed);
            if is_too_slow(bytes, waited, self.limits.write, least) {
                self.end_slow_wait(TimeoutKind::Write, LimitKind::ResponseRate);
            }
        }
    }

    fn count_tick(&self, waited: &AtomicU32) -> u64 {
        let sum = waited
            .load(Relaxed)
            .saturating_add(u32::try_from(self.tick).unwrap_or(u32::MAX));
        waited.store(sum, Relaxed);
        u64::from(sum)
    }

    fn end_slow_wait(&self, wait: TimeoutKind, limit: LimitKind) {
        self.shared.stats.limit_hit(limit);
        self.disarm(wait);
        self.set_signal(wait.signal());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::watch::ClientTimeouts;
    use crate::runtime::worker_shared::WorkerShared;

    const TICK: u64 = 100;

    fn watch() -> Watch {
        let limits = ClientTimeouts {
            head: 1,
            idle: 1,
            body: Some(1000),
            write: 1000,
            min_rates: MinRates {
                body: Some(100),
                response: Some(100),
            },
        };
        let watch = Watch::unarmed(WorkerShared::new(), limits, TICK, false);
        watch.begin_exchange(true);
        watch
    }

    /// After how many looks the wait ends, of at most 200, if before each so many bytes come.
    fn looks(watch: &Watch, wait: TimeoutKind, bytes: usize) -> Option<usize> {
        (1..=200).find(|_| {
            match wait {
                TimeoutKind::Body => {
                    watch.count_body_bytes(bytes as u64);
                    watch.begin_body_wait();
                }
                _ => {
                    watch.exchange.note_response(bytes);
                    watch.begin_write_wait();
                }
            }
            watch.check(1, &[]);
            watch.expired(wait)
        })
    }

    #[test]
    fn a_slow_client_is_waited_for_until_the_free_time_is_over() {
        for wait in [TimeoutKind::Body, TimeoutKind::Write] {
            // 10 bytes in a tick are 100 bytes a second.
            assert_eq!(looks(&watch(), wait, 10), None);
            assert_eq!(looks(&watch(), wait, 0), Some(11));
            let slow = looks(&watch(), wait, 5).unwrap();
            assert!((15..=25).contains(&slow), "{slow}");
        }
    }

    #[test]
    fn an_exempt_body_comes_at_any_rate_and_the_next_does_not() {
        let watch = watch();
        watch.exempt_body_from_rate();
        assert_eq!(looks(&watch, TimeoutKind::Body, 0), None);
        watch.begin_exchange(true);
        assert_eq!(looks(&watch, TimeoutKind::Body, 0), Some(11));
        let count = watch.shared.stats.limits_hit[LimitKind::BodyRate as usize].value();
        assert_eq!(count, 1);
    }

    #[test]
    fn a_gateway_that_does_not_wait_for_the_client_counts_nothing() {
        let watch = watch();
        (0..200).for_each(|_| watch.check(1, &[]));
        assert!(!watch.expired(TimeoutKind::Body) && !watch.expired(TimeoutKind::Write));
    }
}
