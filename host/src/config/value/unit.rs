//! A whole number and one unit: durations such as `"5s"`, sizes such as `"32KiB"`.
//!
//! `10MB` is refused, since one reader takes it for 10,000,000 bytes and the next for
//! 10,485,760.

use std::time::Duration;

use super::Refused;

/// The units of durations or of sizes.
pub(in crate::config) struct Units {
    /// The quantity, for people.
    pub(crate) words: &'static str,
    /// Each in the smallest of them; the largest first.
    pub(crate) factors: &'static [(&'static str, u64)],
    /// Words that people write in the place of a unit, in lower case and with spaces between.
    aliases: &'static [(&'static str, u64)],
    /// The factors that a number without a unit probably has, the likeliest first.
    pub(crate) bare: &'static [u64],
    /// Whether it is known what `1.5` of a unit is.
    takes_decimals: bool,
    /// Whether an error says that `"none"` is taken, too.
    pub(crate) offers_none: bool,
    zero: &'static str,
    too_much: &'static str,
    help: &'static str,
}

/// Durations. Milliseconds.
pub(in crate::config) const DURATION: Units = Units {
    words: "a duration such as `\"10s\"`",
    factors: &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)],
    aliases: &[
        // Not a unit here, since a day has not always 24 hours.
        ("d day days", 24 * 3_600_000),
        ("hour hours hr", 3_600_000),
        ("min mins minute minutes", 60_000),
        ("sec secs second seconds", 1_000),
        ("msec millis millisecond milliseconds", 1),
    ],
    bare: &[1_000, 1],
    takes_decimals: true,
    offers_none: true,
    zero: "0s",
    too_much: "is too long",
    help: "units are `ms`, `s`, `m` and `h`",
};

/// Sizes, in powers of 1,024. Bytes.
pub(in crate::config) const SIZE: Units = Units {
    words: "a size such as `\"1MiB\"`",
    factors: &[
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ],
    aliases: &[
        ("b byte bytes", 1),
        ("k kb kib ki", 1 << 10),
        ("m mb mib mi", 1 << 20),
        ("g gb gib gi", 1 << 30),
        ("t tb tib", 1 << 40),
    ],
    bare: &[1],
    takes_decimals: false,
    offers_none: false,
    zero: "0B",
    too_much: "is too large",
    help: "units are `B`, `KiB`, `MiB`, `GiB` and `TiB`",
};

/// Prints a duration. Parts of a millisecond are not printed.
pub(in crate::config) fn duration(time: Duration) -> String {
    DURATION.print(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Units {
    /// Reads a quantity, in the smallest unit.
    pub(crate) fn parse(&self, text: &str) -> Result<u64, Refused> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
        let Some((_, factor)) = self.factors.iter().find(|(name, _)| *name == unit) else {
            return Err(match self.meant(text) {
                Some(meant) => Refused::plain().write(&self.print(meant)),
                None => Refused::plain().help(self.help),
            });
        };
        if number.is_empty() {
            return Err(Refused::plain());
        }
        let number = number.parse::<u64>().ok();
        number
            .and_then(|number| number.checked_mul(*factor))
            .ok_or_else(|| Refused::because(self.too_much))
    }

    /// Prints a quantity with the largest unit that leaves a whole number.
    pub(crate) fn print(&self, number: u64) -> String {
        let whole = |(_, factor): &&(&str, u64)| number > 0 && number.is_multiple_of(*factor);
        match self.factors.iter().find(whole) {
            Some((unit, factor)) => format!("{}{unit}", number / factor),
            None => self.zero.to_owned(),
        }
    }

    /// Guesses what was meant: `1.5s`, `30 sec`, `1m30s`, `30`, `7d`, `32k`.
    pub(crate) fn meant(&self, text: &str) -> Option<u64> {
        let text = text.to_lowercase();
        let mut text = text.as_str();
        let mut sum = 0_u64;
        loop {
            let number = text.trim_start();
            let end = number.find(|c: char| !c.is_ascii_digit() && c != '.');
            let (number, rest) = number.split_at_checked(end.unwrap_or(number.len()))?;
            let rest = rest.trim_start();
            let end = rest.find(|c: char| !c.is_alphabetic());
            let (unit, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
            sum = sum.checked_add(self.product(number, self.factor(unit)?)?)?;
            text = rest;
            if text.trim().is_empty() {
                return Some(sum);
            }
        }
    }

    /// The factor of a unit in lower case, or of what people write for one.
    fn factor(&self, unit: &str) -> Option<u64> {
        if unit.is_empty() {
            return self.bare.first().copied();
        }
        let mut all = self.factors.iter().chain(self.aliases);
        let known = all.find(|(words, _)| words.split(' ').any(|word| word == unit));
        known.map(|(_, factor)| *factor)
    }

    /// A decimal number of units, if that is a whole number of the smallest.
    fn product(&self, number: &str, factor: u64) -> Option<u64> {
        let (whole, parts) = match number.split_once('.') {
            Some(_) if !self.takes_decimals => return None,
            Some(parts) => parts,
            None => (number, "0"),
        };
        let scale = 10_u64.checked_pow(u32::try_from(parts.len()).ok()?)?;
        let part = parts.parse::<u64>().ok()?.checked_mul(factor)?;
        if !part.is_multiple_of(scale) {
            return None;
        }
        let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
        whole.checked_add(part / scale)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    mod durations {
        use super::*;

        fn parse(text: &str) -> Result<Duration, Refused> {
            DURATION.parse(text).map(Duration::from_millis)
        }

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
                let time = Duration::from_millis(milliseconds);
                prop_assert_eq!(parse(&duration(time)), Ok(time));
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

    mod sizes {
        use super::*;

        fn parse(text: &str) -> Result<u64, Refused> {
            SIZE.parse(text)
        }

        fn help(text: &str) -> Option<String> {
            parse(text).err().and_then(|refused| refused.help)
        }

        #[test]
        fn the_units() {
            assert_eq!(parse("512B"), Ok(512));
            assert_eq!(parse("32KiB"), Ok(32 << 10));
            assert_eq!(parse("1MiB"), Ok(1 << 20));
            assert_eq!(parse("2GiB"), Ok(2 << 30));
            assert_eq!(parse("1TiB"), Ok(1 << 40));
            assert_eq!(parse("0B"), Ok(0));
        }

        #[test]
        fn what_was_meant_is_offered() {
            for (text, meant) in [
                ("10MB", "10MiB"),
                ("32k", "32KiB"),
                ("1 GiB", "1GiB"),
                ("1gib", "1GiB"),
                ("4096", "4KiB"),
            ] {
                assert_eq!(help(text), Some(format!("write `\"{meant}\"`")), "{text}");
            }
        }

        #[test]
        fn what_is_no_size_is_refused() {
            for text in ["", "KiB", "-1B", "1.5MiB", "1PiB", "big", "1B1", "1eB"] {
                assert!(parse(text).is_err(), "{text}");
            }
            assert_eq!(
                parse("18446744073709551615GiB"),
                Err(Refused::because("is too large"))
            );
        }

        proptest! {
            #[test]
            fn what_is_printed_is_read(bytes: u64) {
                prop_assert_eq!(parse(&SIZE.print(bytes)), Ok(bytes));
            }

            #[test]
            fn nothing_panics(text: String) {
                let _ = parse(&text);
            }
        }
    }
}
