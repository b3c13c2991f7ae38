//! The values of a body as a template sees them; they are parsed only when the template reads them.

use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, Value};

use crate::json::{MAX_PARTS, decode_string, parts};

/// The most digits of a fraction that a 64-bit number keeps exactly.
const MAX_DIGITS: usize = 15;

/// A part of a body as a value.
pub fn of(text: &Arc<str>, range: Range<usize>) -> Value {
    let Some(part) = text.get(range.clone()) else {
        return Value::UNDEFINED;
    };
    match part.as_bytes().first() {
        Some(b'{') if parts(part).nth(2 * MAX_PARTS).is_some() => wide(),
        Some(b'[') if parts(part).nth(MAX_PARTS).is_some() => wide(),
        Some(b'{') => {
            let mut members = Vec::new();
            let mut places = BTreeMap::new();
            let mut parts = parts(part);
            while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                let name = decode(name);
                // The last of several members of one name counts.
                places.insert(name.clone(), members.len());
                members.push((name, Cell::new(text, value, range.start, part)));
            }
            Value::from_object(Map {
                whole: Text(text.clone(), range),
                members,
                places,
            })
        }
        Some(b'[') => {
            let elements = parts(part).map(|element| Cell::new(text, element, range.start, part));
            Value::from_object(List {
                elements: elements.collect(),
                whole: Text(text.clone(), range),
            })
        }
        Some(b'"') => Value::from(decode(part)),
        Some(b't') => Value::from(true),
        Some(b'f') => Value::from(false),
        Some(b'n') => Value::from(()),
        Some(_) | None => {
            number(part).unwrap_or_else(|| Value::from_object(Digits(Text(text.clone(), range))))
        }
    }
}

/// An error as a value: reading it fails.
fn wide() -> Value {
    Value::from(Error::new(
        ErrorKind::InvalidOperation,
        format!("the body has an object or array of more than {MAX_PARTS} members"),
    ))
}

/// Decodes a string. A lone surrogate becomes U+FFFD.
fn decode(written: &str) -> String {
    String::from_utf8_lossy(&decode_string(written)).into_owned()
}

/// A number, if it keeps all of its digits.
fn number(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<i64>() {
        return (text != "-0").then(|| Value::from(number));
    }
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let many = digits.bytes().filter(u8::is_ascii_digit).count() > MAX_DIGITS;
    let far = exponent
        .parse::<i16>()
        .is_ok_and(|exponent| exponent.abs() < 250);
    let is_whole = !text.contains(['.', 'e', 'E']);
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|_| far && !many && !is_whole);
    number.map(Value::from)
}

/// A range of a body.
#[derive(Clone)]
pub struct Text(Arc<str>, Range<usize>);

impl Text {
    pub fn as_str(&self) -> &str {
        self.0.get(self.1.clone()).unwrap_or_default()
    }
}

/// A value that is parsed on its first use.
struct Cell {
    text: Text,
    value: OnceLock<Value>,
}

impl Cell {
    /// `part` is a slice of `outer`, which begins at `start` of the text.
    fn new(text: &Arc<str>, part: &str, start: usize, outer: &str) -> Self {
        let offset = (part.as_ptr().addr()).saturating_sub(outer.as_ptr().addr());
        let from = start + offset;
        Self {
            text: Text(text.clone(), from..from + part.len()),
            value: OnceLock::new(),
        }
    }

    fn value(&self) -> Value {
        let make = || of(&self.text.0, self.text.1.clone());
        self.value.get_or_init(make).clone()
    }
}

/// An object of a body.
pub struct Map {
    pub whole: Text,
    members: Vec<(String, Cell)>,
    places: BTreeMap<String, usize>,
}

/// An array of a body.
pub struct List {
    pub whole: Text,
    elements: Vec<Cell>,
}

/// A number that 64 bits cannot hold exactly: it is written with its original digits.
pub struct Digits(pub Text);

impl Object for Map {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (_, cell) = self.members.get(*self.places.get(key.as_str()?)?)?;
        Some(cell.value())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let places = self.members.iter().enumerate();
        let last = places.filter(|(place, (name, _))| self.places.get(name) == Some(place));
        Enumerator::Values(
            last.map(|(_, (name, _))| Value::from(name.as_str()))
                .collect(),
        )
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.whole.as_str())
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.elements.get(key.as_usize()?).map(Cell::value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.elements.len())
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.whole.as_str())
    }
}

impl Object for Digits {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

macro_rules! debug_as_text {
    ($($name:ident: $text:expr;)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text: fn(&Self) -> &Text = $text;
                formatter.write_str(text(self).as_str())
            }
        }
    )+};
}

debug_as_text! {
    Map: |map| &map.whole;
    List: |list| &list.whole;
    Digits: |digits| &digits.0;
}
