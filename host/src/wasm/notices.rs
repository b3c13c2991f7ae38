//! Notices about a filter that are logged now and then, not for every request.
//!
//! A refused edit or a missing grant happens in every request or in none, so one line with the
//! name is enough, and another one after ten minutes, for a reader who has only the end of the log. The list is
//! bounded, since names may come from clients.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::output::one_line;
use crate::runtime::clock::Timestamp;

/// The most notices of one filter. The last of them says that no more follow.
const MAX_NOTICES: usize = 64;

/// After this time a notice is logged again, if its cause is still there.
const AGAIN: Duration = Duration::from_mins(10);

/// The longest name in a notice. Bytes.
const MAX_NAME: usize = 128;

/// The notices of a filter that were logged, and when, on the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    written: Mutex<BTreeMap<String, Duration>>,
}

/// Whether a notice is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is new, or it was logged long ago.
    First,
    /// It is new, and the last one of this filter.
    Last,
    /// It was logged lately, or the list is full.
    Repeated,
}

impl Notices {
    /// Record a notice.
    pub(crate) fn record(&self, text: &str, now: Timestamp) -> Notice {
        let now = now.monotonic();
        let mut written = self.written.lock();
        let count = written.len();
        match written.get_mut(text) {
            Some(last) if now.saturating_sub(*last) < AGAIN => return Notice::Repeated,
            Some(last) => {
                *last = now;
                return Notice::First;
            }
            None if count >= MAX_NOTICES => return Notice::Repeated,
            None => written.insert(text.to_owned(), now),
        };
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
    fn each_text_is_said_now_and_then_and_only_so_many() {
        let notices = Notices::default();
        let now = Timestamp::now();
        assert_eq!(notices.record("a", now), Notice::First);
        assert_eq!(notices.record("a", now.after(AGAIN / 2)), Notice::Repeated);
        assert_eq!(notices.record("a", now.after(AGAIN)), Notice::First);
        assert_eq!(notices.record("a", now.after(AGAIN)), Notice::Repeated);
        let said = (0..2 * MAX_NOTICES).map(|n| notices.record(&n.to_string(), now));
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
