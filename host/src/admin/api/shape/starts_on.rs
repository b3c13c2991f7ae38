//! The JSON of the day on which a quota's week or month starts: a weekday's name or a number.

use std::fmt;

use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};

use super::one;
use crate::model::period::{FirstDay, MonthDay, Period, PeriodKind, Weekday};
use crate::model::word::Word as _;

/// The advice for an `offset`, which Amazon's usage plans have.
pub(crate) const NO_OFFSET: &str = "a quota has no `offset`; the day on which its period starts is \
     `starts_on`: a weekday, or a day of the month from 1 to 28";

/// The period of this kind that starts on this day.
///
/// # Errors
/// A period of this kind starts on no such day.
pub(crate) fn period(kind: PeriodKind, first: Option<FirstDay>) -> Result<Period, &'static str> {
    Period::new(kind, first).ok_or(match kind {
        PeriodKind::Day => "`starts_on` has no meaning for a day; leave it out",
        PeriodKind::Week => "`starts_on` of a week is a weekday such as \"monday\"",
        PeriodKind::Month => "`starts_on` of a month is a day of the month from 1 to 28",
    })
}

impl<'de> Deserialize<'de> for FirstDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstDayVisitor;
        impl serde::de::Visitor<'_> for FirstDayVisitor {
            type Value = FirstDay;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a weekday such as `monday`, or a day of the month from 1 to 28")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FirstDay, E> {
                let found = serde::de::Unexpected::Str(text);
                let weekday = Weekday::of_word(text).map(FirstDay::Weekday);
                weekday.ok_or_else(|| E::invalid_value(found, &self))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<FirstDay, E> {
                let found = serde::de::Unexpected::Unsigned(number);
                let day = u8::try_from(number).ok().and_then(MonthDay::new);
                day.map(FirstDay::MonthDay)
                    .ok_or_else(|| E::invalid_value(found, &self))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast of a float saturates, and 0 is no day"
            )]
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<FirstDay, E> {
                let found = serde::de::Unexpected::Float(number);
                let whole = (number.fract() == 0.0).then_some(number as u8);
                let day = whole.and_then(MonthDay::new);
                day.map(FirstDay::MonthDay)
                    .ok_or_else(|| E::invalid_value(found, &self))
            }
        }
        deserializer.deserialize_any(FirstDayVisitor)
    }
}

/// The schema of `starts_on`.
pub(crate) fn schema() -> Schema {
    let weekday = one(Type::String).enum_values(Some(Weekday::words()));
    let day = one(Type::Integer)
        .minimum(Some(MonthDay::FIRST.get()))
        .maximum(Some(MonthDay::LAST.get()));
    let none = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
    let description = "The day on which a week (a weekday, default `sunday`) or a month (1 to 28, \
         default 1) starts.";
    let either = OneOfBuilder::new().item(weekday).item(day).item(none);
    Schema::OneOf(either.description(Some(description)).build())
}

/// Refuses an `offset` with the advice.
///
/// # Errors
///
/// Always.
pub(crate) fn no_offset<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(serde::de::Error::custom(NO_OFFSET))
}
