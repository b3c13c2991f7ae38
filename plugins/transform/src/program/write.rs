//! Writes values of a template as JSON.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value};

use super::value::{Digits, List, Map};
use crate::json::encode_string;

/// Writes a value as JSON: a value of the body unchanged, and a text marked `safe` as it is.
///
/// Each part uses fuel when it is written, because a value that contains others many times is small
/// until then.
pub fn json(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
    depth: usize,
) -> Result<(), Error> {
    if depth > super::MAX_DEPTH {
        return Err(wrong("a value is nested too deep"));
    }
    if let Some(text) = value.as_str() {
        return match value.is_safe() {
            true => put(output, state, text),
            false => put(output, state, &encode_string(text)),
        };
    }
    if let Some(map) = value.downcast_object_ref::<Map>() {
        return put(output, state, map.whole.as_str());
    }
    if let Some(list) = value.downcast_object_ref::<List>() {
        return put(output, state, list.whole.as_str());
    }
    if let Some(digits) = value.downcast_object_ref::<Digits>() {
        return put(output, state, digits.0.as_str());
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => put(output, state, "null"),
        ValueKind::Bool => put(
            output,
            state,
            if value.is_true() { "true" } else { "false" },
        ),
        ValueKind::Number if value.is_integer() => put(output, state, &value.to_string()),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if number.is_finite() => put(output, state, &format!("{number:?}")),
            Ok(_) | Err(_) => Err(wrong("a number is too large, or none")),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            put(output, state, "[")?;
            for (place, element) in value.try_iter()?.enumerate() {
                if place > 0 {
                    put(output, state, ",")?;
                }
                json(output, state, &element, depth + 1)?;
            }
            put(output, state, "]")
        }
        ValueKind::Map => {
            put(output, state, "{")?;
            for (place, name) in value.try_iter()?.enumerate() {
                if place > 0 {
                    put(output, state, ",")?;
                }
                let text = name
                    .as_str()
                    .map_or_else(|| name.to_string(), str::to_owned);
                put(output, state, &encode_string(&text))?;
                put(output, state, ":")?;
                json(output, state, &value.get_item(&name)?, depth + 1)?;
            }
            put(output, state, "}")
        }
        _ => Err(wrong("a value is none that JSON has")),
    }
}

fn put(output: &mut Output<'_>, state: &mut State<'_, '_>, text: &str) -> Result<(), Error> {
    state.consume_fuel(1 + text.len() as u64 / super::BYTES_PER_FUEL)?;
    output.write_str(text).map_err(Error::from)
}

fn wrong(detail: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}
