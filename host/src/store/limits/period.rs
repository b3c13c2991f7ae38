//! Days, weeks and months of UTC, numbered.

use serde::{Deserialize, Serialize};

/// A quota's period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Sunday's midnight on.
    Week,
    /// From the first of the month on.
    Month,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// 1970-01-01 was a Thursday: the fifth day of week 0.
const THURSDAY: u64 = 4;
/// 9999-12-31T23:59:59.999Z. A clock beyond it counts as this.
const LAST_MS: u64 = 253_402_300_799_999;

impl Period {
    /// The number of the period that holds this moment. Consecutive periods have consecutive
    /// numbers; number 0 holds 1970-01-01.
    #[must_use]
    pub fn number(self, wall_ms: u64) -> u32 {
        let day = wall_ms.min(LAST_MS) / DAY_MS;
        let number = match self {
            Self::Day => day,
            Self::Week => (day + THURSDAY) / 7,
            Self::Month => month_of(day),
        };
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// When the period with this number begins. Milliseconds since 1970; 0 for number 0.
    #[must_use]
    pub fn start_ms(self, number: u32) -> u64 {
        let number = u64::from(number);
        let day = match self {
            Self::Day => number,
            Self::Week => (number * 7).saturating_sub(THURSDAY),
            Self::Month => first_day_of(number),
        };
        day * DAY_MS
    }

    /// When it ends. Milliseconds since 1970.
    #[must_use]
    pub fn end_ms(self, number: u32) -> u64 {
        self.start_ms(number.saturating_add(1))
    }
}

// The calendar as a count of days from 0000-03-01, so that leap days end a year: Howard
// Hinnant, "chrono-compatible low-level date algorithms" (`civil_from_days`, `days_from_civil`).

/// From 0000-03-01 to 1970-01-01. Days.
const EPOCH: u64 = 719_468;
/// Days in 400 years.
const ERA: u64 = 146_097;

/// Months since January 1970.
fn month_of(day: u64) -> u64 {
    let day = day + EPOCH;
    let (era, day) = (day / ERA, day % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    // March of year 0 is month 2 of the count.
    ((era * 400 + year) * 12 + month_from_march + 2).saturating_sub(1970 * 12)
}

/// Days from 1970-01-01 to the first of the month.
fn first_day_of(month: u64) -> u64 {
    let from_march = 1970 * 12 + month - 2;
    let (year, month) = (from_march / 12, from_march % 12);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5;
    (era * ERA + day_of_era).saturating_sub(EPOCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 60 * 60 * 1000;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        // 2024-02-29T12:00:00Z, a Thursday of a leap year.
        let moment = 1_709_208_000_000;
        let bounds = |period: Period| {
            let number = period.number(moment);
            (period.start_ms(number), period.end_ms(number))
        };
        assert_eq!(
            bounds(Period::Day),
            (moment - 12 * HOUR_MS, moment + 12 * HOUR_MS)
        );
        // From Sunday, 25 February, to Sunday, 3 March.
        assert_eq!(bounds(Period::Week), (1_708_819_200_000, 1_709_424_000_000));
        // From 1 February to 1 March.
        assert_eq!(
            bounds(Period::Month),
            (1_706_745_600_000, 1_709_251_200_000)
        );
        // 2100 is no leap year: 28 February 2100 is followed by 1 March.
        let march = Period::Month.end_ms(Period::Month.number(4_107_456_000_000));
        assert_eq!(march, 4_107_542_400_000);
    }

    #[test]
    fn the_ends_of_the_range_have_their_place() {
        for period in [Period::Day, Period::Week, Period::Month] {
            assert_eq!((period.number(0), period.start_ms(0)), (0, 0));
            assert_eq!(period.number(u64::MAX), period.number(LAST_MS));
        }
        assert_eq!(Period::Month.number(LAST_MS), (9999 - 1970) * 12 + 11);
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_period(wall_ms in 0..LAST_MS) {
            for period in [Period::Day, Period::Week, Period::Month] {
                let number = period.number(wall_ms);
                prop_assert!(period.start_ms(number) <= wall_ms);
                prop_assert!(wall_ms < period.end_ms(number));
                prop_assert_eq!(period.number(period.end_ms(number)), number + 1);
            }
        }
    }
}
