//! Days, weeks and months of UTC, with numbers.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_config_derive::Word;

use super::date::{DAY_MS, LAST_MS, date_of, days_to};
use super::word::Word as _;

/// A quota's period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// Seven days, beginning at this weekday's midnight.
    Week(Weekday),
    /// A month, beginning on this day.
    Month(MonthDay),
}

/// The kind of a quota's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Word)]
#[serde(rename_all = "lowercase")]
#[schema(as = Period)]
pub(crate) enum PeriodKind {
    /// From midnight to midnight.
    Day,
    /// Seven days.
    Week,
    /// From a day of the month on.
    Month,
}

/// The day on which a week or a month starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum FirstDay {
    Weekday(Weekday),
    MonthDay(MonthDay),
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Word)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    #[default]
    Sunday,
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
}

/// A day that every month has: 1 to 28.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct MonthDay(u8);

impl Weekday {
    /// From the week's first day to 1970-01-01, a Thursday. Days.
    fn before_epoch(self) -> u64 {
        (THURSDAY + 7 - self as u64) % 7
    }
}

impl MonthDay {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) const LAST: Self = Self(28);

    /// This day of the month; None if not every month has it.
    #[must_use]
    pub(crate) fn new(day: u8) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0)
            .contains(&day)
            .then_some(Self(day))
    }

    #[must_use]
    pub(crate) fn get(self) -> u8 {
        self.0
    }

    /// From the first of the month to this day. Days.
    fn after_first(self) -> u64 {
        u64::from(self.0).saturating_sub(1)
    }
}

/// `day`, `week`, `month`; with another first day than Sunday or the first, `week-monday`,
/// `month-15`. The storage uses these names.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day => f.write_str("day"),
            Self::Week(Weekday::Sunday) => f.write_str("week"),
            Self::Week(first) => write!(f, "week-{}", first.word()),
            Self::Month(MonthDay::FIRST) => f.write_str("month"),
            Self::Month(first) => write!(f, "month-{}", first.get()),
        }
    }
}

/// A text that names no period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no period has this name")]
pub struct PeriodError;

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(name: &str) -> Result<Self, PeriodError> {
        let period = match name.split_once('-') {
            None => match name {
                "day" => Some(Self::Day),
                "week" => Some(Self::Week(Weekday::Sunday)),
                "month" => Some(Self::Month(MonthDay::FIRST)),
                _ => None,
            },
            Some(("week", first)) => Weekday::of_word(first).map(Self::Week),
            Some(("month", first)) => {
                let first = first.parse().ok().and_then(MonthDay::new);
                first.map(Self::Month)
            }
            Some(_) => None,
        };
        period.ok_or(PeriodError)
    }
}

/// 1970-01-01 was a Thursday.
const THURSDAY: u64 = 4;

impl Period {
    /// The period of this kind that starts on this day; without a day a week starts on Sunday and a
    /// month on its first. None where a period of this kind starts on no such day.
    #[must_use]
    pub(crate) fn new(kind: PeriodKind, first: Option<FirstDay>) -> Option<Self> {
        match (kind, first) {
            (PeriodKind::Day, None) => Some(Self::Day),
            (PeriodKind::Week, None) => Some(Self::Week(Weekday::Sunday)),
            (PeriodKind::Week, Some(FirstDay::Weekday(first))) => Some(Self::Week(first)),
            (PeriodKind::Month, None) => Some(Self::Month(MonthDay::FIRST)),
            (PeriodKind::Month, Some(FirstDay::MonthDay(first))) => Some(Self::Month(first)),
            (PeriodKind::Day | PeriodKind::Week | PeriodKind::Month, Some(_)) => None,
        }
    }

    #[must_use]
    pub(crate) fn kind(self) -> PeriodKind {
        match self {
            Self::Day => PeriodKind::Day,
            Self::Week(_) => PeriodKind::Week,
            Self::Month(_) => PeriodKind::Month,
        }
    }

    /// The day on which it starts; None of a day.
    #[must_use]
    pub(crate) fn first_day(self) -> Option<FirstDay> {
        match self {
            Self::Day => None,
            Self::Week(first) => Some(FirstDay::Weekday(first)),
            Self::Month(first) => Some(FirstDay::MonthDay(first)),
        }
    }

    /// The number of the period that holds this moment; the end of 9999 for a later one. Consecutive periods have consecutive
    /// numbers; number 0 holds 1970-01-01.
    #[must_use]
    pub(crate) fn number(self, wall_ms: u64) -> u32 {
        let day = wall_ms.min(LAST_MS) / DAY_MS;
        let number = match self {
            Self::Day => day,
            Self::Week(first) => (day + first.before_epoch()) / 7,
            Self::Month(first) => month_of(day.saturating_sub(first.after_first())),
        };
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The begin of the period with this number. Milliseconds since 1970; 0 for number 0.
    #[must_use]
    pub(crate) fn start_ms(self, number: u32) -> u64 {
        let number = u64::from(number);
        let day = match self {
            Self::Day => number,
            Self::Week(first) => (number * 7).saturating_sub(first.before_epoch()),
            // The first period is cut at the beginning of the count.
            Self::Month(_) if number == 0 => 0,
            Self::Month(first) => first_day_of(number) + first.after_first(),
        };
        day * DAY_MS
    }

    /// The end of the period. Milliseconds since 1970.
    #[must_use]
    pub(crate) fn end_ms(self, number: u32) -> u64 {
        self.start_ms(number.saturating_add(1))
    }
}

/// Months since January 1970.
fn month_of(day: u64) -> u64 {
    let date = date_of(day);
    let months = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1;
    u64::try_from(months).unwrap_or(0)
}

/// Days from 1970-01-01 to the first of the month; the end of 9999 for a later one.
fn first_day_of(month: u64) -> u64 {
    let year = i16::try_from(1970 + month / 12);
    let month = i8::try_from(month % 12 + 1);
    let first = year.ok().zip(month.ok());
    let first = first.and_then(|(year, month)| Date::new(year, month, 1).ok());
    let days = first.map(|first| u64::try_from(days_to(first)).unwrap_or(0));
    days.unwrap_or(LAST_MS / DAY_MS + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 60 * 60 * 1000;

    /// Sunday's weeks and the first's months.
    const WEEK: Period = Period::Week(Weekday::Sunday);
    const MONTH: Period = Period::Month(MonthDay::FIRST);

    fn all() -> impl Iterator<Item = Period> {
        let weeks = Weekday::all().map(Period::Week);
        let months = (1..=28).filter_map(MonthDay::new).map(Period::Month);
        [Period::Day].into_iter().chain(weeks).chain(months)
    }

    /// A day of the calendar. Milliseconds.
    fn day(year: u64, month: u64, day: u64) -> u64 {
        (first_day_of((year - 1970) * 12 + month - 1) + day - 1) * DAY_MS
    }

    fn bounds(period: Period, moment: u64) -> (u64, u64) {
        let number = period.number(moment);
        (period.start_ms(number), period.end_ms(number))
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        // 2024-02-29T12:00:00Z, a Thursday of a leap year.
        let moment = 1_709_208_000_000;
        assert_eq!(
            bounds(Period::Day, moment),
            (moment - 12 * HOUR_MS, moment + 12 * HOUR_MS)
        );
        // From Sunday, 25 February, to Sunday, 3 March.
        assert_eq!(bounds(WEEK, moment), (1_708_819_200_000, 1_709_424_000_000));
        // From 1 February to 1 March.
        assert_eq!(
            bounds(MONTH, moment),
            (1_706_745_600_000, 1_709_251_200_000)
        );
        // 2100 is no leap year: 28 February 2100 is followed by 1 March.
        let march = MONTH.end_ms(MONTH.number(4_107_456_000_000));
        assert_eq!(march, 4_107_542_400_000);
    }

    #[test]
    fn a_week_begins_on_its_first_day() {
        // 2026-11-29 was a Sunday.
        let sunday = day(2026, 11, 29);
        for (first, begins) in [
            (Weekday::Sunday, day(2026, 11, 29)),
            (Weekday::Monday, day(2026, 11, 23)),
            (Weekday::Thursday, day(2026, 11, 26)),
            (Weekday::Saturday, day(2026, 11, 28)),
        ] {
            let week = Period::Week(first);
            let ends = begins + 7 * DAY_MS;
            assert_eq!(bounds(week, sunday), (begins, ends), "{first:?}");
            assert_eq!(
                bounds(week, sunday + DAY_MS - 1),
                (begins, ends),
                "{first:?}"
            );
        }
        // Over the end of a year.
        let monday = Period::Week(Weekday::Monday);
        let (from, to) = bounds(monday, day(2027, 1, 1));
        assert_eq!((from, to), (day(2026, 12, 28), day(2027, 1, 4)));
    }

    #[test]
    fn a_month_begins_on_its_first_day() {
        let from = |first: u8| Period::Month(MonthDay::new(first).unwrap());
        for (first, moment, begins, ends) in [
            (15, day(2026, 11, 29), day(2026, 11, 15), day(2026, 12, 15)),
            (15, day(2026, 11, 14), day(2026, 10, 15), day(2026, 11, 15)),
            (28, day(2026, 3, 1), day(2026, 2, 28), day(2026, 3, 28)),
            // A leap day belongs to the period that began the day before.
            (28, day(2028, 2, 29), day(2028, 2, 28), day(2028, 3, 28)),
            (28, day(2028, 2, 27), day(2028, 1, 28), day(2028, 2, 28)),
            (2, day(2027, 1, 1), day(2026, 12, 2), day(2027, 1, 2)),
            (28, day(2100, 3, 1), day(2100, 2, 28), day(2100, 3, 28)),
        ] {
            assert_eq!(bounds(from(first), moment), (begins, ends), "{first}");
        }
        assert_eq!((MonthDay::new(0), MonthDay::new(29)), (None, None));
    }

    #[test]
    fn a_period_is_read_as_it_is_written() {
        for period in all() {
            assert_eq!(period.to_string().parse(), Ok(period));
        }
        // Storages have these names from the time before there was a first day.
        for (name, period) in [("day", Period::Day), ("week", WEEK), ("month", MONTH)] {
            assert_eq!(period.to_string(), name);
        }
        for name in [
            "", "hour", "week-", "week-1", "month-0", "month-29", "day-1",
        ] {
            assert_eq!(name.parse::<Period>(), Err(PeriodError), "{name}");
        }
    }

    #[test]
    fn the_ends_of_the_range_have_their_place() {
        for period in all() {
            assert_eq!((period.number(0), period.start_ms(0)), (0, 0));
            assert_eq!(period.number(u64::MAX), period.number(LAST_MS));
        }
        assert_eq!(MONTH.number(LAST_MS), (9999 - 1970) * 12 + 11);
    }

    proptest! {
        // The last period of the range has none after it.
        #[test]
        fn every_moment_lies_in_its_period(wall_ms in 0..LAST_MS - 31 * DAY_MS) {
            for period in all() {
                let number = period.number(wall_ms);
                prop_assert!(period.start_ms(number) <= wall_ms);
                prop_assert!(wall_ms < period.end_ms(number));
                prop_assert_eq!(period.number(period.end_ms(number)), number + 1);
            }
        }
    }
}
