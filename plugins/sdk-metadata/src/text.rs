//! JSON as compact, checked text. A tree of values would take many times its memory, and an instance has limited
//! memory. Pure.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A JSON value without spaces between its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The values of an object's members. `None` if it is something else.
    pub fn members(&self) -> Option<BTreeMap<String, Text>> {
        serde_json::from_str(&self.0).ok()
    }

    /// The value as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<&Value> for Text {
    fn from(value: &Value) -> Self {
        Self(value.to_string())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

/// Writes an object member by member into a buffer of sufficient size.
pub struct Object(String);

impl Object {
    /// An object of about this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes) + "{")
    }

    /// Begin a member. Returns the buffer to append its value to.
    pub fn member(&mut self, name: &str) -> &mut String {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_string(&mut self.0, name);
        self.0.push(':');
        &mut self.0
    }

    /// The whole object.
    pub fn end(mut self) -> Text {
        self.0.push('}');
        Text(self.0)
    }
}

/// The bytes of a member in addition to its name and its value.
const AROUND: usize = 4;

/// The approximate length in bytes of an object with these members.
pub fn length<'a>(members: impl Iterator<Item = (&'a String, usize)>) -> usize {
    members
        .map(|(name, value)| name.len() + value + AROUND)
        .sum::<usize>()
        + 2
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::new();
        Append(&mut text).deserialize(deserializer)?;
        Ok(Self(text))
    }
}

/// Appends a value to a text, so that one buffer holds everything.
struct Append<'a>(&'a mut String);

impl Append<'_> {
    fn plain<E>(self, value: impl fmt::Display) -> Result<(), E> {
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "{value}");
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.plain(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        push_string(self.0, value);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.plain("null")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.push('[');
        while list.next_element_seed(Append(&mut *self.0))?.is_some() {
            self.0.push(',');
        }
        close(self.0, ']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.push('{');
        while let Some(name) = map.next_key::<String>()? {
            push_string(self.0, &name);
            self.0.push(':');
            map.next_value_seed(Append(&mut *self.0))?;
            self.0.push(',');
        }
        close(self.0, '}');
        Ok(())
    }
}

/// End a list or an object, and remove the comma after its last part.
fn close(text: &mut String, end: char) {
    if text.ends_with(',') {
        text.pop();
    }
    text.push(end);
}

fn push_string(text: &mut String, value: &str) {
    if value
        .bytes()
        .any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        *text += &Value::from(value).to_string();
        return;
    }
    text.push('"');
    *text += value;
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_a_tree_of_its_values_would_write() {
        for text in [
            r#"{"a":1,"b":[true,false,null,-1,1.5,1e3,18446744073709551615],"c":{"":{},"x\"\u00e9\n":"\ud83d\ude00"}}"#,
            "[]",
            "\"a\\u0000b\"",
            " { \"a\" : [ ] } ",
            "12345678901234567890123",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let compact: Text = serde_json::from_str(text).unwrap();
            assert_eq!(compact.as_str(), value.to_string(), "{text}");
            assert_eq!(compact.value(), value, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_as_a_tree_would_be() {
        for text in [
            "",
            "{",
            "{\"a\":1,}",
            "\"\\ud800\"",
            "\"\\x\"",
            "[1e999]",
            "\"\n\"",
            "01",
        ] {
            let of_tree = serde_json::from_str::<Value>(text).unwrap_err();
            let error = serde_json::from_str::<Text>(text).unwrap_err();
            assert_eq!(error.to_string(), of_tree.to_string(), "{text}");
        }
    }
}
