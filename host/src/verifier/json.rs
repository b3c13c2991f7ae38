//! Reads a JSON object from a stranger, within bounds.
//!
//! A duplicate member is an error. RFC 7519, section 4 leaves the choice; if the last one counted,
//! the next reader might choose the first.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::TokenError;

/// The bounds on the object.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonBounds {
    /// The deepest nesting of objects and lists, the outermost included.
    pub(crate) depth: usize,
    /// The number of values in all.
    pub(crate) values: usize,
}

/// Reads one object.
pub(super) fn object(text: &[u8], bounds: JsonBounds) -> Result<Map<String, Value>, TokenError> {
    let exceeded = Cell::new(false);
    let left = Cell::new(bounds.values);
    let seed = Bounded {
        depth: bounds.depth,
        left: &left,
        exceeded: &exceeded,
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Err(_) if exceeded.get() => Err(TokenError::TooLarge),
        Ok(_) | Err(_) => Err(TokenError::Malformed),
    }
}

#[derive(Clone, Copy)]
struct Bounded<'a> {
    depth: usize,
    left: &'a Cell<usize>,
    exceeded: &'a Cell<bool>,
}

impl Bounded<'_> {
    /// The bounds for the values inside.
    fn inside<E: serde::de::Error>(mut self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => return Err(self.exceed()),
        }
        Ok(self)
    }

    fn exceed<E: serde::de::Error>(self) -> E {
        self.exceeded.set(true);
        E::custom("a bound is exceeded")
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(self.exceed()),
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(inside)? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inside)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(object.into())
    }
}
