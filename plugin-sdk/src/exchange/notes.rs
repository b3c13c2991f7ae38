//! A filter's private state that lasts from its request phase to its response phase.

use crate::EditError;
use crate::gateway::exchange;

/// Notes from the request phase for the response phase, for this exchange and this filter's
/// position in the chain. The two phases may run in different instances, so never keep such state
/// in the filter.
#[derive(Debug, Clone, Copy)]
pub struct Notes(());

impl Notes {
    pub(super) const fn current() -> Self {
        Self(())
    }

    /// The note of this key, or `None` if there is none.
    #[inline]
    #[must_use]
    pub fn get(self, key: &str) -> Option<Vec<u8>> {
        exchange::note(key)
    }

    /// Stores a note. All notes together may have 4 KiB.
    ///
    /// # Errors
    /// `TooLarge` above that limit; `TooLate` outside of a phase.
    #[inline]
    pub fn set(self, key: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::set_note(key, value.as_ref())
    }
}
