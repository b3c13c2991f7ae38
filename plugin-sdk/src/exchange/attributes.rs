//! Typed facts that filters hand along the chain.

use crate::bindings::lifecycle::windlass::host::exchange;
use crate::{AttributeRef, AttributeValue, EditError};

/// The attributes of the current exchange. Never a place for a secret: they reach the access
/// log.
///
/// Facts of the gateway: `client.ip`, `client.port`, `route.id`, `request.id`,
/// `request.time-ms`, ...; of filters, by convention: `consumer.id`, `auth.method`,
/// `auth.claims`, `api-key.id`, `plan.id`. The full list is in the contract.
#[derive(Debug, Clone, Copy)]
pub struct Attributes(());

impl Attributes {
    pub(crate) const fn current() -> Self {
        Self(())
    }

    /// The value, whatever its type.
    #[inline]
    #[must_use]
    pub fn get(self, name: &str) -> Option<AttributeValue> {
        exchange::attribute(name)
    }

    /// The value, if it is text.
    #[inline]
    #[must_use]
    pub fn text(self, name: &str) -> Option<String> {
        match self.get(name)? {
            AttributeValue::Text(text) => Some(text),
            AttributeValue::Number(_) | AttributeValue::Flag(_) | AttributeValue::Bytes(_) => None,
        }
    }

    /// The value, if it is a whole number.
    #[inline]
    #[must_use]
    pub fn number(self, name: &str) -> Option<i64> {
        match self.get(name)? {
            AttributeValue::Number(number) => Some(number),
            AttributeValue::Text(_) | AttributeValue::Flag(_) | AttributeValue::Bytes(_) => None,
        }
    }

    /// The value, if it is yes or no.
    #[inline]
    #[must_use]
    pub fn flag(self, name: &str) -> Option<bool> {
        match self.get(name)? {
            AttributeValue::Flag(flag) => Some(flag),
            AttributeValue::Text(_) | AttributeValue::Number(_) | AttributeValue::Bytes(_) => None,
        }
    }

    /// Sets a fact for the filters after this one, the access log and the balancer. Needs a
    /// grant: `allow = { attributes = ["consumer.*"] }`. Takes text, whole numbers, booleans
    /// and byte slices.
    ///
    /// # Errors
    /// `Forbidden` when the name belongs to the gateway or is not granted; `TooLarge` when the
    /// exchange's attributes would pass 16 KiB.
    #[inline]
    pub fn set<'a>(self, name: &str, value: impl Into<AttributeRef<'a>>) -> Result<(), EditError> {
        exchange::set_attribute(name, value.into())
    }

    /// Sets several facts in one crossing: all of them, or none.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[inline]
    pub fn set_all(self, facts: &[(&str, AttributeRef<'_>)]) -> Result<(), EditError> {
        exchange::set_attributes(facts)
    }
}

impl<'a> From<&'a str> for AttributeRef<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for AttributeRef<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for AttributeRef<'_> {
    #[inline]
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for AttributeRef<'_> {
    #[inline]
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'a> From<&'a [u8]> for AttributeRef<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}
