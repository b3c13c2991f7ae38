//! Kinds that are written as TOML numbers and booleans.

use std::fmt::Display;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{Kind, Print};
use crate::config::read::Slot;

/// A whole number within bounds.
pub(in crate::config) struct Whole<N> {
    /// The least that is taken.
    pub(crate) least: u64,
    /// The most that is taken.
    pub(crate) most: u64,
    /// Makes the value; succeeds within the bounds.
    pub(crate) of: fn(u64) -> Option<N>,
}

impl<N> Kind for Whole<N> {
    type Value = N;

    fn words(&self) -> String {
        if self.most == u64::MAX {
            format!("a whole number from {}", self.least)
        } else {
            format!("a whole number from {} to {}", self.least, self.most)
        }
    }

    fn schema(&self) -> Json {
        if self.most == u64::MAX {
            json!({ "type": "integer", "minimum": self.least })
        } else {
            json!({ "type": "integer", "minimum": self.least, "maximum": self.most })
        }
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<N> {
        let words = self.words();
        let DeValue::Integer(integer) = slot.value() else {
            let text = slot.as_text();
            let number =
                text.and_then(|text| text.replace([' ', '_', ',', '%'], "").parse::<u64>().ok());
            let number = number.filter(|number| (self.least..=self.most).contains(number));
            let problem = slot.wants(&words);
            if let Some(number) = number {
                problem.help(format!("write `{number}`, without quotes"));
            }
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let within = number.filter(|number| (self.least..=self.most).contains(number));
        let value = within.and_then(self.of);
        if value.is_none() {
            slot.wants_not(&words, &integer.to_string());
        }
        value
    }
}

impl<N: Display> Print for Whole<N> {
    fn print(&self, value: &N) -> String {
        value.to_string()
    }
}

/// One of several whole numbers.
pub(in crate::config) struct Numbers(pub(crate) &'static [u16]);

impl Kind for Numbers {
    type Value = u16;

    fn words(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(u16::to_string).collect();
        match numbers.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0 })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<u16> {
        let DeValue::Integer(integer) = slot.value() else {
            slot.wants(&self.words());
            return None;
        };
        let number = u16::from_str_radix(integer.as_str(), integer.radix()).ok();
        let known = number.filter(|number| self.0.contains(number));
        if known.is_none() {
            slot.wants_not(&self.words(), &integer.to_string());
        }
        known
    }
}

impl Print for Numbers {
    fn print(&self, value: &u16) -> String {
        value.to_string()
    }
}

/// A number of things a second: positive, at most a billion.
pub(in crate::config) struct Rate;

impl Kind for Rate {
    type Value = f64;

    fn words(&self) -> String {
        "a number above 0, at most 1000000000".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000 })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<f64> {
        let (number, written) = match slot.value() {
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                let number = number.and_then(|number| i32::try_from(number).ok());
                (number.map(f64::from), integer.to_string())
            }
            DeValue::Float(float) => (float.as_str().parse().ok(), float.to_string()),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                slot.wants(&self.words());
                return None;
            }
        };
        let rate = number.filter(|number| *number > 0.0 && *number <= 1e9);
        if rate.is_none() {
            slot.wants_not(&self.words(), &written);
        }
        rate
    }
}

/// `true` or `false`.
pub(in crate::config) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn words(&self) -> String {
        "`true` or `false`".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<bool> {
        let DeValue::Boolean(flag) = slot.value() else {
            slot.wants(&self.words());
            return None;
        };
        Some(*flag)
    }
}

impl Print for Flag {
    fn print(&self, value: &bool) -> String {
        value.to_string()
    }
}
