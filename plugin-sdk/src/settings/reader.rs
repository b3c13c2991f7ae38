//! Reads the settings by serde, and continues after an error.
//!
//! A visitor of serde stops at the first error. So the reader leaves out the value that caused it and reads the
//! settings again, until the rest can be read or nothing is left. Each error has the JSON pointer of its value. It
//! deliberately does not validate the values, which [`Filter::configure`](crate::Filter::configure) does.

use core::fmt;
use std::collections::BTreeSet;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::Diagnostic;

/// The most errors that are collected.
const MAX_ERRORS: usize = 64;

/// The settings, as far as they could be read.
#[derive(Debug)]
pub struct Read<T> {
    /// `None` if they cannot be read even without the invalid values.
    pub settings: Option<T>,
    /// Every error, in the order of discovery.
    pub complaints: Vec<Diagnostic>,
    json: Value,
    left_out: BTreeSet<String>,
}

/// Reads settings from JSON text.
pub fn read<T: DeserializeOwned>(text: &str) -> Read<T> {
    let mut read = Read {
        settings: None,
        complaints: Vec::new(),
        json: Value::Null,
        left_out: BTreeSet::new(),
    };
    match serde_json::from_str(text) {
        Ok(json) => read.json = json,
        Err(error) => {
            let text = format!("is not JSON: {error}");
            read.complaints.push(Diagnostic::new("", text));
            return read;
        }
    }
    loop {
        let whole = Node {
            value: &read.json,
            at: String::new(),
            left_out: &read.left_out,
        };
        let fault = match T::deserialize(whole) {
            Ok(settings) => {
                read.settings = Some(settings);
                return read;
            }
            Err(fault) => fault,
        };
        let at = fault.at.unwrap_or_default();
        let is_consequence = fault
            .missing
            .is_some_and(|field| read.left_out.contains(&member(&at, field)));
        if !is_consequence {
            read.complaints
                .push(Diagnostic::new(at.clone(), fault.message));
        }
        let is_whole = at.is_empty();
        if is_whole || read.complaints.len() == MAX_ERRORS || !read.left_out.insert(at) {
            return read;
        }
    }
}

impl<T> Read<T> {
    /// An error that the filter itself reported, with the pointer in the settings as they were written. `None` if it
    /// may be a consequence of a value that was left out.
    pub fn place(&self, complaint: Diagnostic) -> Option<Diagnostic> {
        if !complaint.at.starts_with('/') {
            let is_whole = complaint.at.is_empty();
            return (!is_whole || self.left_out.is_empty()).then_some(complaint);
        }
        let at = self.written(&complaint.at)?;
        let is_of_left_out = |left_out: &String| {
            let rest = left_out.strip_prefix(&at);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_certain = !self.left_out.iter().any(is_of_left_out);
        is_certain.then_some(Diagnostic { at, ..complaint })
    }

    /// The pointer to the same value before elements were left out of arrays. `None` if there is no such value.
    fn written(&self, at: &str) -> Option<String> {
        let mut value = &self.json;
        let mut written = String::new();
        for name in at.split('/').skip(1) {
            let (next, place) = match value {
                Value::Array(elements) => {
                    let kept = elements.iter().enumerate().filter_map(|(place, element)| {
                        let place = format!("{written}/{place}");
                        (!self.left_out.contains(&place)).then_some((element, place))
                    });
                    kept.into_iter().nth(name.parse().ok()?)?
                }
                Value::Object(members) => {
                    let plain = name.replace("~1", "/").replace("~0", "~");
                    (members.get(&plain)?, format!("{written}/{name}"))
                }
                _ => return None,
            };
            value = next;
            written = place;
        }
        Some(written)
    }
}

/// The JSON pointer of a member.
fn member(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// An error with its JSON pointer.
#[derive(Debug)]
struct Fault {
    /// The JSON pointer of the value; `None` until a value claims the error.
    at: Option<String>,
    message: String,
    /// The field that is missing in the table at `at`.
    missing: Option<&'static str>,
}

impl Fault {
    /// The innermost value that sees the error claims it.
    fn within(mut self, at: &str) -> Self {
        self.at.get_or_insert_with(|| at.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self {
            at: None,
            message: message.to_string(),
            missing: None,
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(match found {
            Unexpected::Unit => format!("invalid type: null, expected {expected}"),
            found => format!("invalid type: {found}, expected {expected}"),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            missing: Some(field),
            ..Self::custom(format_args!("missing field `{field}`"))
        }
    }
}

/// A value with its JSON pointer.
struct Node<'a> {
    value: &'a Value,
    at: String,
    left_out: &'a BTreeSet<String>,
}

impl<'a> Node<'a> {
    fn child(&self, value: &'a Value, name: &str) -> Self {
        Self {
            value,
            at: member(&self.at, name),
            left_out: self.left_out,
        }
    }

    /// The members that are not left out.
    fn members(&self, members: &'a Map<String, Value>) -> Members<'a> {
        let members = members
            .iter()
            .map(|(name, value)| (name.as_str(), self.child(value, name)));
        let members: Vec<_> = members
            .filter(|(_, node)| !self.left_out.contains(&node.at))
            .collect();
        Members {
            rest: members.into_iter(),
            value: None,
        }
    }

    /// The elements that are not left out.
    fn elements(&self, elements: &'a [Value]) -> Elements<'a> {
        let elements = elements.iter().enumerate();
        let elements = elements.map(|(place, value)| self.child(value, &place.to_string()));
        let elements: Vec<_> = elements
            .filter(|node| !self.left_out.contains(&node.at))
            .collect();
        Elements(elements.into_iter())
    }

    fn visit<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(elements) => visitor.visit_seq(self.elements(elements)),
            Value::Object(members) => visitor.visit_map(self.members(members)),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
        }
    }

    fn visit_enum<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::String(text) => {
                let variant: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                visitor.visit_enum(variant)
            }
            Value::Object(members) if members.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(self.members(members)))
            }
            Value::Object(_) => Err(serde::de::Error::invalid_value(
                Unexpected::Map,
                &"a table with one key",
            )),
            _ => self.visit(visitor),
        }
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit(visitor).map_err(|fault| fault.within(&self.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.visit_enum(visitor)
            .map_err(|fault| fault.within(&self.at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Members<'a> {
    rest: std::vec::IntoIter<(&'a str, Node<'a>)>,
    value: Option<Node<'a>>,
}

impl<'a> MapAccess<'a> for Members<'a> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((name, node)) = self.rest.next() else {
            return Ok(None);
        };
        let key = serde::de::value::BorrowedStrDeserializer::new(name);
        // An unknown name: this leaves out the member, and not the whole table.
        let key = seed.deserialize(key);
        let key = key.map_err(|fault: Fault| fault.within(&node.at))?;
        self.value = Some(node);
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some(node) = self.value.take() else {
            return Err(serde::de::Error::custom(
                "the value was asked for before its key",
            ));
        };
        let at = node.at.clone();
        seed.deserialize(node).map_err(|fault| fault.within(&at))
    }
}

struct Elements<'a>(std::vec::IntoIter<Node<'a>>);

impl<'a> SeqAccess<'a> for Elements<'a> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some(node) = self.0.next() else {
            return Ok(None);
        };
        let at = node.at.clone();
        let element = seed.deserialize(node);
        element.map(Some).map_err(|fault| fault.within(&at))
    }
}
