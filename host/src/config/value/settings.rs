//! A filter's settings: TOML to JSON, remembering where each value stands.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::instant::rfc3339;
use crate::config::section::Settings;
use crate::config::source::Span;

/// A value that JSON has no form for, and why.
pub(in crate::config) type Unfit = (Span, &'static str);

/// The table as JSON; date-times become RFC 3339 text, integers stay integers.
pub(in crate::config) fn from_table(table: &DeTable<'_>, span: Span) -> (Settings, Vec<Unfit>) {
    let mut walk = Walk::default();
    walk.spans.insert(String::new(), span);
    let json = walk.table(table, "");
    let settings = Settings {
        json,
        spans: walk.spans,
    };
    (settings, walk.unfit)
}

/// A text, a number or a boolean as JSON. None: it is something else, or a number that JSON cannot hold.
pub(in crate::config) fn scalar(value: &DeValue<'_>) -> Option<Value> {
    let mut walk = Walk::default();
    let value = walk.scalar(value, Span::default())?;
    walk.unfit.is_empty().then_some(value)
}

#[derive(Default)]
struct Walk {
    spans: BTreeMap<String, Span>,
    unfit: Vec<Unfit>,
}

impl Walk {
    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Value {
        let mut object = Map::new();
        for (key, value) in table {
            let key = key.get_ref().as_ref();
            // RFC 6901, section 3: `~` first, or it would escape the escapes.
            let token = key.replace('~', "~0").replace('/', "~1");
            let value = self.value(value, format!("{pointer}/{token}"));
            object.insert(key.to_owned(), value);
        }
        Value::Object(object)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, pointer: String) -> Value {
        let span = Span::from(value.span());
        let json = match value.get_ref() {
            DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                self.scalar(value.get_ref(), span).unwrap_or_default()
            }
            DeValue::Datetime(datetime) => Value::String(rfc3339(*datetime)),
            DeValue::Array(array) => {
                let items = array.iter().enumerate();
                let item = |(at, item)| self.value(item, format!("{pointer}/{at}"));
                Value::Array(items.map(item).collect())
            }
            DeValue::Table(table) => self.table(table, &pointer),
        };
        self.spans.insert(pointer, span);
        json
    }

    fn scalar(&mut self, value: &DeValue<'_>, span: Span) -> Option<Value> {
        Some(match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(integer) => self.integer(integer.as_str(), integer.radix(), span),
            DeValue::Float(float) => self.float(float.as_str(), span),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
        })
    }

    fn integer(&mut self, digits: &str, radix: u32, span: Span) -> Value {
        let signed = i64::from_str_radix(digits, radix).map(Value::from);
        let read = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from));
        read.unwrap_or_else(|_| {
            self.unfit.push((span, "a number of more than 64 bits"));
            Value::Null
        })
    }

    fn float(&mut self, text: &str, span: Span) -> Value {
        let number = text.parse().ok().and_then(Number::from_f64);
        let null = || {
            self.unfit
                .push((span, "a number that is not finite, which JSON cannot hold"));
            Value::Null
        };
        number.map_or_else(null, Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Settings, Vec<Unfit>) {
        let table = DeTable::parse(text).unwrap();
        from_table(table.get_ref(), Span::new(0, text.len()))
    }

    #[test]
    fn every_type_has_its_json() {
        let text = "s = 'x'\ni = -3\nh = 0xff\nbig = 18446744073709551615\nf = 1.5\nb = true\nd = 2027-01-01T10:00Z\na = [1, { c = 2 }]";
        let (settings, unfit) = read(text);
        let expected = serde_json::json!({
            "s": "x", "i": -3, "h": 255, "big": 18_446_744_073_709_551_615_u64, "f": 1.5, "b": true,
            "d": "2027-01-01T10:00:00Z", "a": [1, { "c": 2 }],
        });
        assert_eq!(settings.json, expected);
        assert!(unfit.is_empty());
    }

    #[test]
    fn every_value_has_its_place() {
        let text = "a = [1, { \"x/y~z\" = 2 }]";
        let (settings, _) = read(text);
        for (pointer, found) in [
            ("", text),
            ("/a", "[1, { \"x/y~z\" = 2 }]"),
            ("/a/0", "1"),
            ("/a/1/x~1y~0z", "2"),
        ] {
            let span = settings.spans[pointer];
            assert_eq!(text.get(span.start..span.end), Some(found));
        }
        for (pointer, _) in settings.spans {
            assert!(settings.json.pointer(&pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn numbers_without_json_are_reported() {
        let (_, unfit) = read("a = nan\nb = [inf, -inf]\nc = 99999999999999999999");
        let places: Vec<usize> = unfit.iter().map(|(span, _)| span.start).collect();
        assert_eq!(places, [4, 13, 18, 28]);
    }
}
