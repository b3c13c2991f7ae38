//! Durations and sizes: numbers with a unit. A bare number is refused, with the right form.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{FromSize, FromValue, Kind};
use crate::config::read::Slot;
use crate::config::value::unit::{DURATION, SIZE, Units};
use crate::config::value::{Refused, quoted};

/// A number with a unit, within bounds.
pub(crate) struct Quantity<N> {
    units: &'static Units,
    /// The least that is taken, in the smallest unit.
    least: u64,
    /// The most that is taken, in the smallest unit.
    most: u64,
    /// The value of `"none"`, where there may be no bound.
    none: Option<N>,
    /// Makes the value; succeeds within the bounds.
    of: fn(u64) -> Option<N>,
}

impl<N: Copy> Quantity<N> {
    /// From a millisecond to a day: most time-outs.
    const fn duration(none: Option<N>, of: fn(u64) -> Option<N>) -> Self {
        Self {
            units: &DURATION,
            least: 1,
            most: 24 * 3_600_000,
            none,
            of,
        }
    }

    const fn size(none: Option<N>, of: fn(u64) -> Option<N>) -> Self {
        Self {
            units: &SIZE,
            least: 0,
            most: u64::MAX,
            none,
            of,
        }
    }

    /// The bounds, in the smallest unit.
    pub(crate) const fn within(mut self, least: u64, most: u64) -> Self {
        self.least = least;
        self.most = most;
        self
    }

    fn bounds(&self) -> String {
        let (least, most) = (self.units.print(self.least), self.units.print(self.most));
        format!("{}, from {least} to {most}", self.units.words)
    }

    fn holds(&self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    fn write(&self, number: u64) -> String {
        format!("write {}", quoted(&self.units.print(number)))
    }

    /// Reads a text, or says what to write in its place.
    fn parse(&self, text: &str) -> Result<N, Refused> {
        if text == "none"
            && let Some(none) = self.none
        {
            return Ok(none);
        }
        let read = self.units.parse(text);
        let value = |number| (self.of)(number).filter(|_| self.holds(number));
        let mut refused = match read.map(value) {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => Refused::plain(),
            Err(refused) => refused,
        };
        if ENDLESS.contains(&text.to_lowercase().as_str()) {
            let most = quoted(&self.units.print(self.most));
            let bound = format!("there has to be a bound here, at most {most}");
            refused.help = Some(self.no_bound(0).unwrap_or(bound));
        } else if let Ok(number) = text.parse() {
            refused.help = self.with_unit(number);
        } else if let Some(meant) = self.units.meant(text).filter(|meant| !self.holds(*meant)) {
            // The cure would be refused too.
            refused.help = self.no_bound(meant);
        }
        Err(refused)
    }

    /// The cure for a number without a unit.
    fn with_unit(&self, number: u64) -> Option<String> {
        let factors = self.units.bare.iter();
        let mut meant = factors.filter_map(|factor| number.checked_mul(*factor));
        let meant = meant.find(|meant| self.holds(*meant));
        meant
            .map(|meant| self.write(meant))
            .or_else(|| self.no_bound(number))
    }

    /// The cure for zero, where that is to be no bound.
    fn no_bound(&self, number: u64) -> Option<String> {
        (number == 0 && self.none.is_some()).then(|| NO_BOUND.to_owned())
    }
}

impl FromValue for Duration {
    type Kind = Quantity<Self>;
    const KIND: Self::Kind = Quantity::duration(None, |ms| Some(Self::from_millis(ms)));
}

impl FromValue for Option<Duration> {
    type Kind = Quantity<Self>;
    const KIND: Self::Kind =
        Quantity::duration(Some(None), |ms| Some(Some(Duration::from_millis(ms))));
}

impl FromSize for u64 {
    type Kind = Quantity<Self>;
    const KIND: Self::Kind = Quantity::size(None, Some);
}

impl FromSize for usize {
    type Kind = Quantity<Self>;
    const KIND: Self::Kind = Quantity::size(None, |bytes| bytes.try_into().ok());
}

impl FromSize for Option<u64> {
    type Kind = Quantity<Self>;
    const KIND: Self::Kind = Quantity::size(Some(None), |bytes| Some(Some(bytes)));
}

/// Words that people write where there is to be no bound.
const ENDLESS: [&str; 6] = ["none", "never", "off", "disabled", "infinite", "unlimited"];

const NO_BOUND: &str = "for no bound write `\"none\"`";

impl<N: Copy + Sync> Kind for Quantity<N> {
    type Value = N;

    fn words(&self) -> String {
        match self.none {
            Some(_) => format!("{}, or `\"none\"`", self.bounds()),
            None => self.bounds(),
        }
    }

    fn schema(&self) -> Json {
        let units: Vec<&str> = self
            .units
            .factors
            .iter()
            .rev()
            .map(|(unit, _)| *unit)
            .collect();
        let number = format!("[0-9]+({})", units.join("|"));
        let pattern = match self.none {
            Some(_) => format!("^({number}|none)$"),
            None => format!("^{number}$"),
        };
        json!({ "type": "string", "pattern": pattern })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<N> {
        let words = match self.units.offers_none {
            true => self.words(),
            false => self.bounds(),
        };
        if let Some(float) = slot.value.as_float() {
            let meant = self.units.meant(float.as_str());
            let meant = meant.filter(|meant| self.holds(*meant));
            slot.wants(&words)
                .help_if(meant.map(|meant| self.write(meant)));
            return None;
        }
        if let Some(integer) = slot.value.as_integer() {
            let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
            let cure = number.and_then(|number| self.with_unit(number));
            slot.wants_not(&words, &integer.to_string()).help_if(cure);
            return None;
        }
        let text = slot.text(&words)?;
        match self.parse(text) {
            Ok(value) => Some(value),
            Err(refused) => {
                slot.refuse(Some(text), &words, refused);
                None
            }
        }
    }
}
