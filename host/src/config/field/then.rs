//! A kind whose value is made of that of another kind.

use serde_json::Value as Json;

use super::{Kind, Section};
use crate::config::read::Slot;
use crate::config::source::Span;

/// Another kind, and the function that makes the value of what it reads.
pub(crate) struct Then<K: Kind, T> {
    pub(crate) of: K,
    /// Its argument is none where the other kind refused the value.
    pub(crate) make: fn(Option<K::Value>, &mut Slot<'_>) -> Option<T>,
}

impl<K: Kind, T> Kind for Then<K, T> {
    type Value = T;

    fn words(&self) -> String {
        self.of.words()
    }

    fn schema(&self) -> Json {
        self.of.schema()
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<T> {
        let value = self.of.read(slot);
        (self.make)(value, slot)
    }

    fn section(&self) -> Option<&'static Section> {
        self.of.section()
    }
}

/// A value, and where it is in the file.
pub(crate) type Placed<K> = Then<K, (<K as Kind>::Value, Span)>;

pub(crate) const fn placed<K: Kind>(of: K) -> Placed<K> {
    Then {
        of,
        make: |value, slot| Some((value?, slot.span)),
    }
}
