//! Times and days as text: RFC 3339, in UTC. Pure functions.

/// 9999-12-31T23:59:59.999Z. Milliseconds since 1970.
const LAST_MS: u64 = 253_402_300_799_999;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The time as `2026-11-25T20:54:41.123Z`; whole seconds without a fraction.
#[must_use]
pub(crate) fn moment(ms: u64) -> String {
    let ms = ms.min(LAST_MS);
    let date = day(u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX));
    let (seconds, millis) = (ms % DAY_MS / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = match millis {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Reads an RFC 3339 date-time as milliseconds since 1970; an earlier one becomes 1970. None if
/// the text is no date-time.
#[must_use]
pub(crate) fn read_moment(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = civil(date)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [hour, minute, second] = parts(clock, ':')?;
    // 60 is a leap second (RFC 3339, section 5.6).
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            let (digits, zone) = rest.split_at_checked(end)?;
            let first: String = digits.chars().chain("000".chars()).take(3).collect();
            (
                if digits.is_empty() {
                    None
                } else {
                    first.parse().ok()
                }?,
                zone,
            )
        }
    };
    let minutes = match zone {
        "Z" | "z" => 0,
        _ => offset(zone)?,
    };
    let seconds = days * 86_400 + hour * 3600 + (minute - minutes) * 60 + second;
    let ms = (seconds * 1000 + millis).max(0);
    u64::try_from(ms).ok().map(|ms| ms.min(LAST_MS))
}

/// Reads `+02:00` as minutes east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let rest = zone.get(1..)?;
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// The day, given as days since 1970, as `2026-11-25` (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
#[must_use]
pub(crate) fn day(days: u32) -> String {
    let days = i64::from(days).min(2_932_896) + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads `2026-11-25` as days since 1970; an earlier day becomes 1970. None if the text is no
/// date.
#[must_use]
pub(crate) fn read_day(text: &str) -> Option<u32> {
    u32::try_from(civil(text)?.max(0)).ok()
}

/// Reads a date as days since 1970, which may be negative (`days_from_civil`).
fn civil(text: &str) -> Option<i64> {
    if text.len() != 10 {
        return None;
    }
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, two(month)?, two(day)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn parts(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(two);
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

/// Reads two digits.
fn two(text: &str) -> Option<i64> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
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
}
