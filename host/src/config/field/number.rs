//! Kinds that are written as TOML numbers and booleans.

use std::num::{NonZeroU32, NonZeroUsize};

use http::StatusCode;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{FromValue, Kind};
use crate::config::read::Slot;
use crate::config::value::either;

/// A whole number within bounds.
pub(crate) struct Whole<N> {
    /// The least that is taken.
    pub(crate) least: u64,
    /// The most that is taken.
    pub(crate) most: u64,
    /// Makes the value; succeeds within the bounds.
    pub(crate) of: fn(u64) -> Option<N>,
}

impl<N> Whole<N> {
    pub(crate) const fn within(self, least: u64, most: u64) -> Self {
        Self {
            least,
            most,
            of: self.of,
        }
    }
}

macro_rules! whole {
    ($($number:ty: $of:expr,)*) => {
        $(impl FromValue for $number {
            type Kind = Whole<Self>;
            const KIND: Whole<Self> = Whole { least: 0, most: u64::MAX, of: $of };
        })*
    };
}

whole! {
    u8: |number| number.try_into().ok(),
    u16: |number| number.try_into().ok(),
    u32: |number| number.try_into().ok(),
    u64: Some,
    usize: |number| number.try_into().ok(),
    NonZeroU32: |number| Self::new(number.try_into().ok()?),
    NonZeroUsize: |number| Self::new(number.try_into().ok()?),
    StatusCode: |number| Self::from_u16(number.try_into().ok()?).ok(),
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
        let DeValue::Integer(integer) = slot.value else {
            let text = slot.as_text();
            let number =
                text.and_then(|text| text.replace([' ', '_', ',', '%'], "").parse::<u64>().ok());
            let number = number.filter(|number| (self.least..=self.most).contains(number));
            let cure = number.map(|number| format!("write `{number}`, without quotes"));
            slot.wants(&words).help_if(cure);
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

/// One of several statuses.
pub(crate) struct Numbers(pub(crate) &'static [u16]);

impl Kind for Numbers {
    type Value = StatusCode;

    fn words(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(u16::to_string).collect();
        either(&numbers)
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0 })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<StatusCode> {
        let DeValue::Integer(integer) = slot.value else {
            slot.wants(&self.words());
            return None;
        };
        let number = u16::from_str_radix(integer.as_str(), integer.radix()).ok();
        let known = number.filter(|number| self.0.contains(number));
        if known.is_none() {
            slot.wants_not(&self.words(), &integer.to_string());
        }
        StatusCode::from_u16(known?).ok()
    }
}

/// A number of things a second: positive, at most a billion.
pub(crate) struct PerSecond;

impl FromValue for f64 {
    type Kind = PerSecond;
    const KIND: PerSecond = PerSecond;
}

impl Kind for PerSecond {
    type Value = f64;

    fn words(&self) -> String {
        "a number above 0, at most 1000000000".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000 })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<f64> {
        let value = slot.value;
        let (number, written) = if let Some(integer) = value.as_integer() {
            let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            let number = number.and_then(|number| i32::try_from(number).ok());
            (number.map(f64::from), integer.to_string())
        } else if let Some(float) = value.as_float() {
            (float.as_str().parse().ok(), float.to_string())
        } else {
            slot.wants(&self.words());
            return None;
        };
        let rate = number.filter(|number| *number > 0.0 && *number <= 1e9);
        if rate.is_none() {
            slot.wants_not(&self.words(), &written);
        }
        rate
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl FromValue for bool {
    type Kind = Flag;
    const KIND: Flag = Flag;
}

impl Kind for Flag {
    type Value = bool;

    fn words(&self) -> String {
        "`true` or `false`".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<bool> {
        let flag = slot.value.as_bool();
        if flag.is_none() {
            slot.wants(&self.words());
        }
        flag
    }
}
