//! Typed values that filters pass along the chain.

use crate::gateway::exchange;
use crate::{AttributeRef, AttributeValue, EditError};

/// The attributes of the current exchange. Never store a secret in one: attributes reach the access
/// log.
///
/// The gateway sets `client.ip`, `client.port`, `route.id`, `request.id`, `request.time-ms`, ...;
/// filters set, by convention, `consumer.id`, `auth.method`, `auth.claims`, `api-key.id`,
/// `plan.id`. The contract has the full list.
#[derive(Debug, Clone, Copy)]
pub struct Attributes(());

impl Attributes {
    pub(crate) const fn current() -> Self {
        Self(())
    }

    /// The value of any type, or `None` if the attribute is not set.
    #[inline]
    #[must_use]
    pub fn get(self, name: &str) -> Option<AttributeValue> {
        exchange::attribute(name)
    }

    /// The value if it is text.
    #[inline]
    #[must_use]
    pub fn text(self, name: &str) -> Option<String> {
        match self.get(name)? {
            AttributeValue::Text(text) => Some(text),
            AttributeValue::Number(_) | AttributeValue::Flag(_) | AttributeValue::Bytes(_) => None,
        }
    }

    /// The value if it is a whole number.
    #[inline]
    #[must_use]
    pub fn number(self, name: &str) -> Option<i64> {
        match self.get(name)? {
            AttributeValue::Number(number) => Some(number),
            AttributeValue::Text(_) | AttributeValue::Flag(_) | AttributeValue::Bytes(_) => None,
        }
    }

    /// The value if it is a boolean.
    #[inline]
    #[must_use]
    pub fn flag(self, name: &str) -> Option<bool> {
        match self.get(name)? {
            AttributeValue::Flag(flag) => Some(flag),
            AttributeValue::Text(_) | AttributeValue::Number(_) | AttributeValue::Bytes(_) => None,
        }
    }

    /// Sets an attribute for later filters, the access log and the balancer. Takes text, whole
    /// numbers, booleans and byte slices. Needs a grant: `allow = { attributes = ["consumer.*"] }`.
    ///
    /// # Errors
    /// `Forbidden` if the name belongs to the gateway or is not granted; `TooLarge` if the
    /// attributes of the exchange would exceed 16 KiB.
    #[inline]
    pub fn set<'a>(self, name: &str, value: impl Into<AttributeRef<'a>>) -> Result<(), EditError> {
        exchange::set_attribute(name, value.into())
    }

    /// Sets several attributes in one call: all of them, or none.
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
