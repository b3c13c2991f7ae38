//! TOML dates and times: to a point in time, and to RFC 3339 text.

use std::time::{Duration, SystemTime};

use toml::value::{Datetime, Offset};

use super::Refused;

/// The point in time of an offset date-time. Earlier than 1970 is taken as 1970.
pub(in crate::config) fn point(value: &Datetime) -> Result<SystemTime, Refused> {
    let (Some(date), Some(time)) = (value.date, value.time) else {
        return Err(Refused::because("has no time of day").write_bare("2027-01-01T00:00:00Z"));
    };
    let Some(offset) = value.offset else {
        return Err(Refused::because("has no offset from UTC").help(format!("write `{value}Z`")));
    };
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    let seconds = i64::from(time.hour) * 3600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0))
        - minutes * 60;
    let seconds = u64::try_from(days * 86_400 + seconds).unwrap_or(0);
    let since = Duration::new(seconds, time.nanosecond.unwrap_or(0));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .ok_or_else(Refused::plain)
}

/// RFC 3339: TOML 1.1 lets seconds be left out, JSON's readers do not.
pub(in crate::config) fn rfc3339(mut value: Datetime) -> String {
    if let Some(time) = &mut value.time {
        time.second.get_or_insert(0);
    }
    value.to_string()
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`): years begin in March, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl Refused {
    fn write_bare(self, text: &str) -> Self {
        self.help(format!("write it as `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<u64, Refused> {
        let time = point(&text.parse().unwrap())?;
        Ok(time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs())
    }

    #[test]
    fn points() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(seconds("2000-02-29T12:34:56Z"), Ok(951_827_696));
        assert_eq!(seconds("2027-01-01T00:00:00Z"), Ok(1_798_761_600));
        assert_eq!(seconds("2027-01-01T02:00:00+02:00"), Ok(1_798_761_600));
        assert_eq!(seconds("2026-12-31T19:00:00-05:00"), Ok(1_798_761_600));
        assert_eq!(seconds("9999-12-31T23:59:59Z"), Ok(253_402_300_799));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), Ok(0));
    }

    #[test]
    fn a_point_needs_all_parts() {
        let help = |text: &str| seconds(text).unwrap_err().help.unwrap();
        assert_eq!(help("2027-01-01T00:00:00"), "write `2027-01-01T00:00:00Z`");
        assert_eq!(help("2027-01-01"), "write it as `2027-01-01T00:00:00Z`");
        assert!(seconds("12:00:00").is_err());
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = days_since_1970(1999, 1, 1);
        for year in 1999..2105 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, days) in (1..).zip(months) {
                for day in 1..=days {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }
}
