//! Attributes: typed facts that filters pass along the chain.

use std::borrow::Cow;

use serde::Serialize;

/// The largest size of an exchange's attributes, names and values together. Bytes.
pub(crate) const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// A typed fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum AttributeValue {
    /// UTF-8 text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Opaque octets.
    Bytes(Vec<u8>),
}

impl AttributeValue {
    /// Its size against the limit. Bytes.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 8,
            Self::Flag(_) => 1,
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// The facts that filters set on one exchange. Few, so a list that is searched.
#[derive(Debug, Default)]
pub struct Attributes {
    entries: Vec<(Cow<'static, str>, AttributeValue)>,
    bytes: usize,
}

impl Attributes {
    /// The fact of this name.
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<&AttributeValue> {
        self.entries
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    /// Set a fact; gives what it replaced.
    ///
    /// # Errors
    ///
    /// It does not fit into [`MAX_ATTRIBUTE_BYTES`]: gives the value back.
    pub(crate) fn set(
        &mut self,
        name: Cow<'static, str>,
        value: AttributeValue,
    ) -> Result<Option<AttributeValue>, AttributeValue> {
        let entry = self.entries.iter_mut().find(|(other, _)| *other == name);
        let freed = entry
            .as_ref()
            .map_or(0, |(name, old)| name.len() + old.len());
        let bytes = self.bytes - freed + name.len() + value.len();
        if bytes > MAX_ATTRIBUTE_BYTES {
            return Err(value);
        }
        self.bytes = bytes;
        match entry {
            Some((_, old)) => Ok(Some(std::mem::replace(old, value))),
            None => {
                if self.entries.capacity() == 0 {
                    self.entries.reserve(8);
                }
                self.entries.push((name, value));
                Ok(None)
            }
        }
    }

    /// Forget a fact; gives what it was.
    pub(crate) fn remove(&mut self, name: &str) -> Option<AttributeValue> {
        let index = self.entries.iter().position(|(other, _)| other == name)?;
        let (name, value) = self.entries.remove(index);
        self.bytes -= name.len() + value.len();
        Some(value)
    }

    /// Put back what [`Self::set`] replaced.
    pub(crate) fn restore(&mut self, name: Cow<'static, str>, old: Option<AttributeValue>) {
        self.remove(&name);
        if let Some(value) = old {
            self.bytes += name.len() + value.len();
            self.entries.push((name, value));
        }
    }

    /// All facts, in the order in which they were first set.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_beyond_the_limit_is_refused_and_changes_nothing() {
        let mut attributes = Attributes::default();
        let small = AttributeValue::Text("x".into());
        assert_eq!(attributes.set("a".into(), small.clone()), Ok(None));
        let large = AttributeValue::Bytes(vec![0; MAX_ATTRIBUTE_BYTES]);
        assert_eq!(attributes.set("a".into(), large.clone()), Err(large));
        assert_eq!(attributes.find("a"), Some(&small));
    }

    #[test]
    fn replacing_and_removing_give_their_room_back() {
        let mut attributes = Attributes::default();
        let half = AttributeValue::Bytes(vec![0; MAX_ATTRIBUTE_BYTES / 2]);
        for _ in 0..10 {
            assert!(attributes.set("a".into(), half.clone()).is_ok());
        }
        attributes.remove("a");
        assert!(attributes.set("b".into(), half).is_ok());
        assert_eq!(attributes.iter().count(), 1);
    }
}
