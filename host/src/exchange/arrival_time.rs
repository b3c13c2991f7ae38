//! The time of day at which a request arrived.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::runtime::clock::{stopped_ms, unix_ms};

/// The time of day of an arrival: found out when somebody first asks for it, as few do, and the same from then on.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArrivalTime(OnceLock<u64>);

impl ArrivalTime {
    /// Of an arrival at this instant. Unix time, milliseconds.
    pub(super) fn unix_ms(&self, arrived: Instant) -> u64 {
        *self.0.get_or_init(|| find(arrived))
    }
}

fn find(arrived: Instant) -> u64 {
    if let Some(stopped) = stopped_ms() {
        return stopped;
    }
    let at = SystemTime::now().checked_sub(arrived.elapsed());
    unix_ms(at.unwrap_or(UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_of_an_arrival_stays_the_same_when_the_clock_does_not() {
        let (time, arrived) = (ArrivalTime::default(), Instant::now());
        let first = time.unix_ms(arrived);
        // As if the machine's clock was set back by a minute meanwhile.
        let later = arrived.checked_sub(Duration::from_mins(1)).unwrap();
        assert_ne!(find(later), first);
        assert_eq!(time.unix_ms(later), first);
    }
}
