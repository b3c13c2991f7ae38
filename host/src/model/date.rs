//! Days and moments of UTC: as numbers since 1970, and as text (RFC 3339).

use jiff::SignedDuration;
use jiff::civil::{Date, date};
use serde::Serializer;
use toml::value::{Datetime, Offset};

/// 9999-12-31T23:59:59.999Z. Milliseconds since 1970.
pub(crate) const LAST_MS: u64 = 253_402_300_799_999;
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const EPOCH: Date = date(1970, 1, 1);

/// The date so many days after 1970-01-01; 9999-12-31 at the latest.
#[must_use]
pub(crate) fn date_of(days: u64) -> Date {
    let days = i64::try_from(days.min(LAST_MS / DAY_MS)).unwrap_or(0);
    EPOCH.saturating_add(SignedDuration::from_hours(days * 24))
}

/// Days from 1970-01-01 to a date, also below 0.
#[must_use]
pub(crate) fn days_to(date: Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

/// `2026-11-25T20:54:41.123Z`; whole seconds without a fraction.
#[must_use]
pub(crate) fn moment(ms: u64) -> String {
    let ms = i64::try_from(ms.min(LAST_MS)).unwrap_or(0);
    let midnight = EPOCH.at(0, 0, 0, 0);
    let moment = midnight.saturating_add(SignedDuration::from_millis(ms));
    let format = match ms % 1000 {
        0 => "%FT%TZ",
        _ => "%FT%T%.3fZ",
    };
    moment.strftime(format).to_string()
}

/// Writes a time as `moment` does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn moment_out<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment(*ms))
}

/// Milliseconds since 1970 of an RFC 3339 date-time; earlier is taken as 1970. None where it is
/// no date-time.
#[must_use]
pub(crate) fn read_moment(text: &str) -> Option<u64> {
    let value: Datetime = text.parse().ok()?;
    // TOML lets seconds be left out, RFC 3339 does not.
    value.time?.second?;
    unix_ms(&value)
}

/// The same of a date-time of TOML. None where its date, time or offset is left out.
#[must_use]
pub(crate) fn unix_ms(value: &Datetime) -> Option<u64> {
    let (day, time) = (civil(value)?, value.time?);
    let minutes = match value.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let seconds = days_to(day) * 86_400
        + i64::from(time.hour) * 3600
        + (i64::from(time.minute) - minutes) * 60
        + i64::from(time.second.unwrap_or(0));
    let ms = seconds * 1000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000);
    u64::try_from(ms.max(0)).ok().map(|ms| ms.min(LAST_MS))
}

/// `2026-11-25` of days since 1970.
#[must_use]
pub(crate) fn day(days: u32) -> String {
    date_of(days.into()).to_string()
}

/// Days since 1970 of `2026-11-25`; earlier is taken as 1970. None where it is no date.
#[must_use]
pub(crate) fn read_day(text: &str) -> Option<u32> {
    let value: Datetime = text.parse().ok()?;
    let is_day = value.time.is_none() && value.offset.is_none();
    let day = civil(&value).filter(|_| is_day)?;
    u32::try_from(days_to(day).max(0)).ok()
}

fn civil(value: &Datetime) -> Option<Date> {
    let date = value.date?;
    let (year, month, day) = (date.year, date.month, date.day);
    Date::new(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696_000, "2000-02-29T12:34:56Z"),
            (1_798_761_600_001, "2027-01-01T00:00:00.001Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(moment(ms), text);
            assert_eq!(read_moment(text), Some(ms));
        }
    }

    #[test]
    fn any_offset_and_fraction_of_rfc_3339_is_read() {
        let second = 1_798_761_600_000;
        for text in [
            "2027-01-01T02:00:00+02:00",
            "2026-12-31T19:00:00-05:00",
            "2026-12-31t23:59:60z",
            "2027-01-01T00:00:00.0Z",
        ] {
            assert_eq!(read_moment(text), Some(second), "{text}");
        }
        assert_eq!(read_moment("2027-01-01T00:00:00.5Z"), Some(second + 500));
        assert_eq!(read_moment("2027-01-01T00:00:00.1239Z"), Some(second + 123));
        assert_eq!(read_moment("0001-01-01T00:00:00Z"), Some(0));
    }

    #[test]
    fn text_that_is_no_moment_is_not_read() {
        for text in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00+2:00",
            "2027-01-01T00:00:00Zx",
            "üüüüü-01T00:00:00Z",
        ] {
            assert_eq!(read_moment(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for days in (0..60_000).chain([2_932_896]) {
            assert_eq!(read_day(&day(days)), Some(days));
        }
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(read_day("2026-11-25"), Some(20_782));
        assert_eq!(read_day("2026-11-5"), None);
        assert_eq!(read_day("2026-02-30"), None);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = days_to(date(1999, 1, 1));
        for year in 1999..2105 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, days) in (1..).zip(months) {
                for day in 1..=days {
                    assert_eq!(days_to(date(year, month, day)), expected);
                    expected += 1;
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn days_go_on_one_by_one(since in 0_u64..100_000) {
            // The calendar of humantime is not ours.
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(since * 86_400);
            let text = humantime::format_rfc3339_seconds(at).to_string();
            let written = day(u32::try_from(since).unwrap());
            proptest::prop_assert_eq!(Some(&*written), text.get(..10));
            proptest::prop_assert_eq!(days_to(date_of(since)), i64::try_from(since).unwrap());
        }
    }
}
