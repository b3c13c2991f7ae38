//! A filter's private state from its request phase to its response phase.

use crate::EditError;
use crate::bindings::lifecycle::windlass::host::exchange;

/// What the request phase left for the response phase, for this exchange and this place in the
/// chain. The two may run in different instances: never keep such state in the filter.
#[derive(Debug, Clone, Copy)]
pub struct Notes(());

impl Notes {
    pub(super) const fn current() -> Self {
        Self(())
    }

    /// The note of this key.
    #[inline]
    #[must_use]
    pub fn get(self, key: &str) -> Option<Vec<u8>> {
        exchange::note(key)
    }

    /// Leaves a note. At most 4 KiB in all.
    ///
    /// # Errors
    /// `TooLarge` over that; `TooLate` outside a phase.
    #[inline]
    pub fn set(self, key: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::set_note(key, value.as_ref())
    }
}
