//! `"512B"`, `"32KiB"`, `"1MiB"`, `"2GiB"`, `"1TiB"`: a whole number of bytes, in powers of 1,024.
//!
//! `10MB` is refused, since one reader takes it for 10,000,000 bytes and the next for
//! 10,485,760.

use super::Refused;

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// What people write in the place of a unit.
const ALIASES: [(&str, &str); 19] = [
    ("", "B"),
    ("b", "B"),
    ("byte", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("ki", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("mi", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
    ("gi", "GiB"),
    ("t", "TiB"),
    ("tb", "TiB"),
    ("tib", "TiB"),
];

/// Reads a size. Bytes.
pub(in crate::config) fn parse(text: &str) -> Result<u64, Refused> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(mend(number, unit));
    };
    if number.is_empty() {
        return Err(Refused::plain());
    }
    let bytes = number.parse::<u64>().ok();
    bytes
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| Refused::because("is too large"))
}

/// Prints a size with the largest unit that leaves a whole number.
pub(in crate::config) fn print(bytes: u64) -> String {
    let whole = |(_, factor): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*factor);
    match UNITS.iter().find(whole) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => "0B".to_owned(),
    }
}

/// Guesses what was meant: `32k`, `10 MB`, `1024`.
fn mend(number: &str, unit: &str) -> Refused {
    let lower = unit.trim().to_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower);
    let factor = alias.and_then(|(_, unit)| UNITS.iter().find(|(name, _)| name == unit));
    let bytes = match (number.parse::<u64>(), factor) {
        (Ok(number), Some((_, factor))) => number.checked_mul(*factor),
        _ => None,
    };
    let refused = Refused::plain();
    match bytes {
        Some(bytes) => refused.write(&print(bytes)),
        None => refused.help("units are `B`, `KiB`, `MiB`, `GiB` and `TiB`"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            prop_assert_eq!(parse(&print(bytes)), Ok(bytes));
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
