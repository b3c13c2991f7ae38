//! Notices about a filter that are logged once, not for every request.
//!
//! A refused edit or a missing grant happens in every request or in none, so one line with the
//! name is enough. The list is bounded, since names may come from clients.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::output::one_line;

/// The most notices of one filter. The last of them says that no more follow.
const MAX_NOTICES: usize = 64;

/// The longest name in a notice. Bytes.
const MAX_NAME: usize = 128;

/// The notices of a filter that were logged.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    written: Mutex<BTreeSet<String>>,
}

/// Whether a notice is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is new.
    First,
    /// It is new, and the last one of this filter.
    Last,
    /// It was logged before, or the list is full.
    Repeated,
}

impl Notices {
    /// Record a notice.
    pub(crate) fn record(&self, text: &str) -> Notice {
        let mut written = self.written.lock();
        if written.len() >= MAX_NOTICES || written.contains(text) {
            return Notice::Repeated;
        }
        written.insert(text.to_owned());
        match written.len() {
            MAX_NOTICES => Notice::Last,
            _ => Notice::First,
        }
    }
}

/// A name that the guest chose, shortened and escaped for the log.
#[must_use]
pub(crate) fn printable(name: &str) -> String {
    let cut = name.get(..name.floor_char_boundary(MAX_NAME));
    one_line(cut.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_said_once_and_only_so_many() {
        let notices = Notices::default();
        assert_eq!(notices.record("a"), Notice::First);
        assert_eq!(notices.record("a"), Notice::Repeated);
        let said = (0..2 * MAX_NOTICES).map(|n| notices.record(&n.to_string()));
        let said: Vec<_> = said.filter(|notice| *notice != Notice::Repeated).collect();
        assert_eq!(said.len(), MAX_NOTICES - 1);
        assert_eq!(said.last(), Some(&Notice::Last));
    }

    #[test]
    fn a_name_is_short_and_on_one_line() {
        assert_eq!(printable("a\nb"), "a\\nb");
        assert_eq!(printable(&"é".repeat(100)).len(), MAX_NAME);
    }
}
