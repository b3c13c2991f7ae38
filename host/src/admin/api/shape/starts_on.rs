//! The day on which a quota's week or month starts, over the wire: a weekday's name or a number.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};

use super::one;
use crate::limits::{MonthDay, Period, Weekday};

/// The cure for an `offset`, which Amazon's usage plans have.
pub(crate) const NO_OFFSET: &str = "a quota has no `offset`; the day on which its period starts is \
     `starts_on`: a weekday, or a day of the month from 1 to 28";

/// The first day of a week or a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum PeriodStart {
    /// Of a week.
    Weekday(Weekday),
    /// Of a month, 1 to 28.
    Day(u8),
}

impl PeriodStart {
    /// Of this kind of period; None of a day.
    pub(crate) fn of(period: Period) -> Option<Self> {
        match period {
            Period::Day => None,
            Period::Week(first) => Some(Self::Weekday(first)),
            Period::Month(first) => Some(Self::Day(first.get())),
        }
    }

    /// The period of this kind that starts so.
    ///
    /// # Errors
    /// Its first day is none of this kind of period's.
    pub(crate) fn period(
        kind: super::Period,
        starts_on: Option<Self>,
    ) -> Result<Period, &'static str> {
        match (kind, starts_on) {
            (super::Period::Day, None) => Ok(Period::Day),
            (super::Period::Day, Some(_)) => {
                Err("`starts_on` has no meaning for a day; leave it out")
            }
            (super::Period::Week, None) => Ok(Period::Week(Weekday::Sunday)),
            (super::Period::Week, Some(Self::Weekday(first))) => Ok(Period::Week(first)),
            (super::Period::Week, Some(Self::Day(_))) => {
                Err("`starts_on` of a week is a weekday such as \"monday\"")
            }
            (super::Period::Month, None) => Ok(Period::Month(MonthDay::FIRST)),
            (super::Period::Month, Some(Self::Day(first))) => {
                let first = MonthDay::new(first).ok_or("`starts_on` is a day from 1 to 28")?;
                Ok(Period::Month(first))
            }
            (super::Period::Month, Some(Self::Weekday(_))) => {
                Err("`starts_on` of a month is a day of the month from 1 to 28")
            }
        }
    }
}

impl<'de> Deserialize<'de> for PeriodStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PeriodStartVisitor;
        impl serde::de::Visitor<'_> for PeriodStartVisitor {
            type Value = PeriodStart;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a weekday such as `monday`, or a day of the month from 1 to 28")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PeriodStart, E> {
                let found = serde::de::Unexpected::Str(text);
                let weekday = Weekday::find(text).map(PeriodStart::Weekday);
                weekday.ok_or_else(|| E::invalid_value(found, &self))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PeriodStart, E> {
                let found = serde::de::Unexpected::Unsigned(number);
                let day = u8::try_from(number)
                    .ok()
                    .filter(|day| (1..=28).contains(day));
                day.map(PeriodStart::Day)
                    .ok_or_else(|| E::invalid_value(found, &self))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "within 1 to 28"
            )]
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<PeriodStart, E> {
                if (1.0..=28.0).contains(&number) && number.fract() == 0.0 {
                    return Ok(PeriodStart::Day(number as u8));
                }
                Err(E::invalid_value(
                    serde::de::Unexpected::Float(number),
                    &self,
                ))
            }
        }
        deserializer.deserialize_any(PeriodStartVisitor)
    }
}

/// `starts_on`.
pub(crate) fn schema() -> Schema {
    let weekday = one(Type::String).enum_values(Some(Weekday::ALL.map(Weekday::as_str)));
    let day = one(Type::Integer)
        .minimum(Some(1_u64))
        .maximum(Some(28_u64));
    let none = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
    let description = "The day on which a week (a weekday, default `sunday`) or a month (1 to 28, \
         default 1) starts.";
    let either = OneOfBuilder::new().item(weekday).item(day).item(none);
    Schema::OneOf(either.description(Some(description)).build())
}

/// Takes an `offset` with the words of its cure.
///
/// # Errors
/// Always.
pub(crate) fn no_offset<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(serde::de::Error::custom(NO_OFFSET))
}
