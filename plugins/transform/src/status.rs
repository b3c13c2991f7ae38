//! The statuses that an edit of a response applies to.

use core::ops::RangeInclusive;

/// Single statuses and classes of statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    pub fn hold(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// Parses one entry, such as `404` or `4xx`.
    ///
    /// # Errors
    /// The expected format.
    pub fn parse_one(text: &str) -> Result<RangeInclusive<u16>, String> {
        let range = match (text.as_bytes(), text.parse::<u16>()) {
            ([class @ b'2'..=b'5', b'x' | b'X', b'x' | b'X'], _) => {
                let first = u16::from(class - b'0') * 100;
                Some(first..=first + 99)
            }
            ([b'2'..=b'5', _, _], Ok(status)) => Some(status..=status),
            (_, Ok(_) | Err(_)) => None,
        };
        range.ok_or_else(|| {
            format!("`{text}` is no status: write one from 200 to 599, or a class such as `4xx`")
        })
    }

    /// The statuses of all valid entries.
    pub fn of(texts: &[String]) -> Self {
        let ranges = texts.iter().filter_map(|text| Self::parse_one(text).ok());
        Self(ranges.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_held_alone_and_in_its_class() {
        let statuses = Statuses::of(&["404".to_owned(), "5XX".to_owned()]);
        for (status, holds) in [
            (403, false),
            (404, true),
            (405, false),
            (499, false),
            (500, true),
            (599, true),
            (600, false),
        ] {
            assert_eq!(statuses.hold(status), holds, "{status}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "40", "4x", "6xx", "1xx", "199", "600", "0404", "+40", "4xxx", "x", "40x",
        ] {
            assert!(Statuses::parse_one(text).is_err(), "{text}");
        }
    }
}
