//! Kinds with a unit: durations and sizes. A bare number is refused, with the right form.

use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{FromSize, FromValue, Kind};
use crate::config::read::Slot;
use crate::config::value::{Refused, duration, quoted, size};

/// A duration within bounds.
pub(crate) struct Time {
    /// The shortest that is taken.
    pub(crate) least: Duration,
    /// The longest that is taken.
    pub(crate) most: Duration,
}

impl Time {
    /// From a millisecond to a day: most time-outs.
    pub(crate) const USUAL: Self = Self {
        least: Duration::from_millis(1),
        most: Duration::from_hours(24),
    };

    /// The bounds, in milliseconds.
    pub(crate) const fn within(mut self, least: u64, most: u64) -> Self {
        self.least = Duration::from_millis(least);
        self.most = Duration::from_millis(most);
        self
    }
}

impl FromValue for Duration {
    type Kind = Time;
    const KIND: Time = Time::USUAL;
}

impl Kind for Time {
    type Value = Duration;

    fn words(&self) -> String {
        let (least, most) = (duration::print(self.least), duration::print(self.most));
        format!("a duration such as `\"10s\"`, from {least} to {most}")
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Duration> {
        self.read_as(slot, &self.words(), None)
    }
}

/// What people write where there is to be no bound.
const ENDLESS: [&str; 6] = ["none", "never", "off", "disabled", "infinite", "unlimited"];

impl Time {
    fn holds(&self, value: Duration) -> bool {
        (self.least..=self.most).contains(&value)
    }

    /// What a bare number was probably meant to be: seconds, else milliseconds.
    fn meant(&self, number: u64) -> Option<String> {
        let units = [Duration::from_secs(number), Duration::from_millis(number)];
        let meant = units.into_iter().find(|value| self.holds(*value))?;
        Some(format!("write {}", quoted(&duration::print(meant))))
    }

    /// Reads it where `words` are wanted. `endless` is what to do where there is to be no bound.
    fn read_as(&self, slot: &mut Slot<'_>, words: &str, endless: Option<&str>) -> Option<Duration> {
        let without = |number: u64| endless.filter(|_| number == 0).map(str::to_owned);
        let help = |number: u64| self.meant(number).or_else(|| without(number));
        if let DeValue::Float(float) = slot.value() {
            let meant = duration::meant(float.as_str()).filter(|meant| self.holds(*meant));
            let problem = slot.wants(words);
            if let Some(meant) = meant {
                problem.help(format!("write {}", quoted(&duration::print(meant))));
            }
            return None;
        }
        let text = with_unit(slot, words, help)?;
        let mut refused = match duration::parse(text) {
            Ok(value) if self.holds(value) => return Some(value),
            Ok(_) => Refused::plain(),
            Err(refused) => refused,
        };
        if ENDLESS.contains(&text.to_lowercase().as_str()) {
            let always = || {
                format!(
                    "there has to be a bound here, at most `\"{}\"`",
                    duration::print(self.most)
                )
            };
            refused.help = Some(endless.map_or_else(always, str::to_owned));
        } else if let Ok(number) = text.parse() {
            refused.help = help(number);
        } else if let Some(meant) = duration::meant(text).filter(|meant| !self.holds(*meant)) {
            // What was meant is refused too.
            refused.help = endless.filter(|_| meant.is_zero()).map(str::to_owned);
        }
        slot.refuse(Some(text), words, refused);
        None
    }
}

/// A size within bounds. Bytes.
pub(crate) struct Size<N> {
    /// The least that is taken.
    pub(crate) least: u64,
    /// The most that is taken.
    pub(crate) most: u64,
    /// Makes the value; succeeds within the bounds.
    pub(crate) of: fn(u64) -> Option<N>,
}

impl<N> Size<N> {
    /// The bounds, in bytes.
    pub(crate) const fn within(self, least: u64, most: u64) -> Self {
        Self {
            least,
            most,
            of: self.of,
        }
    }

    fn bytes(&self, text: &str) -> Result<Option<N>, Refused> {
        let bytes = size::parse(text)?;
        let within = (self.least..=self.most).contains(&bytes);
        Ok(within.then_some(bytes).and_then(self.of))
    }
}

impl FromSize for u64 {
    type Kind = Size<Self>;
    const KIND: Size<Self> = Size {
        least: 0,
        most: u64::MAX,
        of: Some,
    };
}

impl FromSize for usize {
    type Kind = Size<Self>;
    const KIND: Size<Self> = Size {
        least: 0,
        most: u64::MAX,
        of: |bytes| bytes.try_into().ok(),
    };
}

impl<N> Kind for Size<N> {
    type Value = N;

    fn words(&self) -> String {
        let (least, most) = (size::print(self.least), size::print(self.most));
        format!("a size such as `\"1MiB\"`, from {least} to {most}")
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<N> {
        let words = self.words();
        let text = with_unit(slot, &words, |bytes| {
            let is_within = (self.least..=self.most).contains(&bytes);
            is_within.then(|| format!("write {}", quoted(&size::print(bytes))))
        })?;
        match self.bytes(text) {
            Ok(Some(value)) => Some(value),
            Ok(None) => {
                slot.wants_not(&words, text);
                None
            }
            Err(refused) => {
                slot.refuse(Some(text), &words, refused);
                None
            }
        }
    }
}

/// A size, or `"none"`.
pub(crate) struct Bound(pub(crate) Size<u64>);

impl Bound {
    pub(crate) const fn within(self, least: u64, most: u64) -> Self {
        Self(self.0.within(least, most))
    }
}

impl FromSize for Option<u64> {
    type Kind = Bound;
    const KIND: Bound = Bound(<u64 as FromSize>::KIND);
}

impl Kind for Bound {
    type Value = Option<u64>;

    fn words(&self) -> String {
        format!("{}, or `\"none\"`", self.0.words())
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^([0-9]+(B|KiB|MiB|GiB|TiB)|none)$" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Option<u64>> {
        if slot.as_text() == Some("none") {
            return Some(None);
        }
        self.0.read(slot).map(Some)
    }
}

/// A duration, or `"none"`.
pub(crate) struct Wait(pub(crate) Time);

impl Wait {
    pub(crate) const fn within(self, least: u64, most: u64) -> Self {
        Self(self.0.within(least, most))
    }
}

impl FromValue for Option<Duration> {
    type Kind = Wait;
    const KIND: Wait = Wait(Time::USUAL);
}

impl Kind for Wait {
    type Value = Option<Duration>;

    fn words(&self) -> String {
        format!("{}, or `\"none\"`", self.0.words())
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h)|none)$" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Option<Duration>> {
        if slot.as_text() == Some("none") {
            return Some(None);
        }
        let endless = "for no bound write `\"none\"`";
        self.0.read_as(slot, &self.words(), Some(endless)).map(Some)
    }
}

/// The text of a value with a unit. Of a bare number says what `help` makes of it.
fn with_unit<'a>(
    slot: &mut Slot<'a>,
    words: &str,
    help: impl Fn(u64) -> Option<String>,
) -> Option<&'a str> {
    let DeValue::Integer(integer) = slot.value() else {
        return slot.text(words);
    };
    let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
    let problem = slot.wants_not(words, &integer.to_string());
    if let Some(help) = number.and_then(help) {
        problem.help(help);
    }
    None
}
