//! The day on which a week or a month starts: a weekday's name, or a day that every month has.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use crate::config::field::{FromValue, Kind};
use crate::config::read::Slot;
use crate::config::value::{nearest, quoted};
use crate::model::period::{FirstDay, MonthDay, Weekday};
use crate::model::word::Word;

const WORDS: &str = "a weekday such as \"monday\", or a day of the month from 1 to 28";

/// `starts_on`.
pub(crate) struct StartsOn;

impl FromValue for FirstDay {
    type Kind = StartsOn;
    const KIND: StartsOn = StartsOn;
}

impl Kind for StartsOn {
    type Value = FirstDay;

    fn words(&self) -> String {
        WORDS.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "oneOf": [
            { "enum": Weekday::words().collect::<Vec<_>>() },
            { "type": "integer", "minimum": MonthDay::FIRST, "maximum": MonthDay::LAST },
        ] })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<FirstDay> {
        if let DeValue::Integer(integer) = slot.value {
            let day = u8::from_str_radix(integer.as_str(), integer.radix()).ok();
            let day = day.and_then(MonthDay::new);
            if day.is_none() {
                let written = integer.to_string();
                slot.wants_not(WORDS, &written)
                    .help("not every month has a later day than the 28th");
            }
            return day.map(FirstDay::MonthDay);
        }
        let text = slot.text(WORDS)?;
        if let Some(day) = Weekday::of_word(text) {
            return Some(FirstDay::Weekday(day));
        }
        let lower = text.to_lowercase();
        let number = lower.parse().ok().and_then(MonthDay::new);
        let short = Weekday::words().find(|day| lower.len() > 1 && day.starts_with(&*lower));
        let meant = short.or_else(|| nearest(&lower, Weekday::words()));
        let number = number.map(|day| format!("write `{}`, without quotes", day.get()));
        let meant = || meant.map(|meant| format!("did you mean {}?", quoted(meant)));
        slot.wants_not(WORDS, text).help_if(number.or_else(meant));
        None
    }
}
