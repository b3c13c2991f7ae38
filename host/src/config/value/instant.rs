//! TOML dates and times: to a point in time, and to RFC 3339 text.

use std::time::{Duration, SystemTime};

use toml::value::Datetime;

use super::Refused;
use crate::model::date;

/// The point in time of an offset date-time. Earlier than 1970 is taken as 1970.
pub(in crate::config) fn point(value: &Datetime) -> Result<SystemTime, Refused> {
    if value.date.is_none() || value.time.is_none() {
        return Err(
            Refused::because("has no time of day").help("write it as `2027-01-01T00:00:00Z`")
        );
    }
    if value.offset.is_none() {
        return Err(Refused::because("has no offset from UTC").help(format!("write `{value}Z`")));
    }
    let ms = date::unix_ms(value).ok_or_else(Refused::plain)?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
}

/// RFC 3339: TOML 1.1 lets seconds be left out, JSON's readers do not.
pub(in crate::config) fn rfc3339(mut value: Datetime) -> String {
    if let Some(time) = &mut value.time {
        time.second.get_or_insert(0);
    }
    value.to_string()
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
}
