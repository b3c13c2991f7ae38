//! The day on which a week or a month starts: a weekday's name, or a day that every month has.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use crate::config::field::Kind;
use crate::config::read::Slot;
use crate::config::value::{Refused, nearest, quoted};

/// The weekdays, from Sunday on.
const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
/// The last day that every month has.
const LAST: u8 = 28;
const WORDS: &str = "a weekday such as \"monday\", or a day of the month from 1 to 28";

/// The first day of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstDay {
    /// Of a week; 0 is Sunday.
    Weekday(u8),
    /// Of a month, 1 to 28.
    OfMonth(u8),
}

/// `starts_on`.
pub(super) struct StartsOn;

impl Kind for StartsOn {
    type Value = FirstDay;

    fn words(&self) -> String {
        WORDS.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "oneOf": [
            { "enum": WEEKDAYS },
            { "type": "integer", "minimum": 1, "maximum": LAST },
        ] })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<FirstDay> {
        if let DeValue::Integer(integer) = slot.value() {
            let day = u8::from_str_radix(integer.as_str(), integer.radix()).ok();
            let day = day.filter(|day| (1..=LAST).contains(day));
            if day.is_none() {
                let written = integer.to_string();
                slot.wants_not(WORDS, &written)
                    .help("not every month has a later day than the 28th");
            }
            return day.map(FirstDay::OfMonth);
        }
        let text = slot.text(WORDS)?;
        let place = WEEKDAYS.iter().position(|weekday| *weekday == text);
        if let Some(day) = place.and_then(|place| u8::try_from(place).ok()) {
            return Some(FirstDay::Weekday(day));
        }
        let lower = text.to_lowercase();
        let number = lower.parse::<u8>().ok();
        let number = number.filter(|day| (1..=LAST).contains(day));
        let short = WEEKDAYS
            .iter()
            .find(|day| lower.len() > 1 && day.starts_with(&*lower));
        let meant = short.copied().or_else(|| nearest(&lower, WEEKDAYS));
        let refused = match (number, meant) {
            (Some(day), _) => Refused::plain().help(format!("write `{day}`, without quotes")),
            (None, Some(meant)) => {
                Refused::plain().help(format!("did you mean {}?", quoted(meant)))
            }
            (None, None) => Refused::plain(),
        };
        slot.refuse(Some(text), WORDS, refused);
        None
    }
}
