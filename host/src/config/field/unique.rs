//! A value that only one table of its sort may have.

use serde_json::Value as Json;

use super::Kind;
use crate::config::read::Slot;

/// A text that no other table of this sort has.
pub(crate) struct Unique<K> {
    pub(crate) of: K,
    /// The name of the tables, for people.
    pub(crate) sort: &'static str,
    /// The cure for one that is there twice. It is not shown then: it may be private.
    pub(crate) private_cure: Option<&'static str>,
}

impl<K: Kind> Kind for Unique<K> {
    type Value = K::Value;

    fn words(&self) -> String {
        self.of.words()
    }

    fn schema(&self) -> Json {
        self.of.schema()
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<K::Value> {
        let value = self.of.read(slot)?;
        let text = slot.as_text().unwrap_or_default();
        if let Some(line) = slot.earlier(self.sort, text) {
            match self.private_cure {
                Some(cure) => {
                    let message = format!("is that of the {} in line {line}", self.sort);
                    slot.error(&message).help(cure);
                }
                None => {
                    slot.error(&format!("holds `{text}`, which line {line} has already"));
                }
            }
        }
        Some(value)
    }
}
