//! `"250ms"`, `"5s"`, `"10m"`, `"1h"`: a whole number and one unit.

use std::time::Duration;

use super::Refused;

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Not a unit here, since a day has not always 24 hours; but it is known what is meant.
const DAY: (&str, u64) = ("d", 24 * 3_600_000);

/// What people write in the place of a unit.
const ALIASES: [(&str, &str); 18] = [
    ("day", "d"),
    ("days", "d"),
    ("hour", "h"),
    ("hours", "h"),
    ("hr", "h"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("", "s"),
];

pub(in crate::config) fn parse(text: &str) -> Result<Duration, Refused> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let factor = |wanted: &str| UNITS.iter().find(|(name, _)| *name == wanted);
    let Some((_, factor)) = factor(unit) else {
        return Err(mend(text));
    };
    if number.is_empty() {
        return Err(Refused::plain());
    }
    let milliseconds = number.parse::<u64>().ok();
    milliseconds
        .and_then(|number| number.checked_mul(*factor))
        .map(Duration::from_millis)
        .ok_or_else(|| Refused::because("is too long"))
}

/// Prints a duration with the largest unit that leaves a whole number. Parts of a millisecond
/// are not printed.
pub(in crate::config) fn print(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let whole = |(_, factor): &&(&str, u64)| {
        milliseconds > 0 && milliseconds.is_multiple_of(u128::from(*factor))
    };
    match UNITS.iter().find(whole) {
        Some((unit, factor)) => format!("{}{unit}", milliseconds / u128::from(*factor)),
        None => "0s".to_owned(),
    }
}

/// Guesses what was meant: `1.5s`, `30 sec`, `1m30s`, `30`, `7d`.
pub(in crate::config) fn meant(text: &str) -> Option<Duration> {
    total(&text.to_lowercase()).map(Duration::from_millis)
}

fn mend(text: &str) -> Refused {
    let refused = Refused::plain();
    match meant(text) {
        Some(meant) => refused.write(&print(meant)),
        None => refused.help("units are `ms`, `s`, `m` and `h`"),
    }
}

/// The sum of parts such as `1m 30 seconds`. Milliseconds.
fn total(mut text: &str) -> Option<u64> {
    let mut sum = 0_u64;
    loop {
        let number = text.trim_start();
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, rest) = number.split_at_checked(end.unwrap_or(number.len()))?;
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic());
        let (unit, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let alias = ALIASES.iter().find(|(alias, _)| *alias == unit);
        let unit = alias.map_or(unit, |(_, unit)| *unit);
        let mut units = UNITS.into_iter().chain([DAY]);
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(milliseconds(number, factor)?)?;
        text = rest;
        if text.trim().is_empty() {
            return Some(sum);
        }
    }
}

/// A decimal number of units, if that is a whole number of milliseconds.
fn milliseconds(number: &str, factor: u64) -> Option<u64> {
    let (whole, parts) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 10_u64.checked_pow(u32::try_from(parts.len()).ok()?)?;
    let part = parts.parse::<u64>().ok()?.checked_mul(factor)?;
    if !part.is_multiple_of(scale) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    whole.checked_add(part / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn help(text: &str) -> Option<String> {
        parse(text).err().and_then(|refused| refused.help)
    }

    #[test]
    fn the_four_units() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_was_meant_is_offered() {
        for (text, meant) in [
            ("1.5s", "1500ms"),
            ("30 s", "30s"),
            ("30sec", "30s"),
            ("5 minutes", "5m"),
            ("1m30s", "90s"),
            ("1H", "1h"),
            ("30", "30s"),
            ("7d", "168h"),
        ] {
            assert_eq!(help(text), Some(format!("write `\"{meant}\"`")), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "s", "-5s", "fast", "5s5", "5d", "s5", "1e3s", "٣s", "0.0001s", "..s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let long = parse("99999999999999999999h");
        assert_eq!(long, Err(Refused::because("is too long")));
        assert_eq!(
            parse("18446744073709551615h"),
            Err(Refused::because("is too long"))
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(milliseconds: u64) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }

        #[test]
        fn what_is_offered_is_read(text in "[0-9. ]{0,6}[a-z ]{0,4}[0-9a-z. ]{0,8}") {
            if let Some(help) = help(&text) && let Some(offer) = help.strip_prefix("write `\"") {
                prop_assert!(parse(offer.trim_end_matches("\"`")).is_ok(), "{}", help);
            }
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
