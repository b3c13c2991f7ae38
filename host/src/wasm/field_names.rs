//! The field names that a filter edits: few, and the same for every request.
//!
//! Parsing a name that HTTP does not define costs an allocation, and sharing it another. An instance
//! pays that once for each name. Names that no edit may use are not kept.

use http::HeaderName;
use smallvec::SmallVec;

/// How many names are kept. A filter that uses more pays for the others each time.
const MAX_NAMES: usize = 32;

/// Parsed names.
#[derive(Debug, Default)]
pub(crate) struct FieldNameCache {
    names: SmallVec<[HeaderName; 4]>,
}

impl FieldNameCache {
    /// The name that was kept for this text: in lower case, as HTTP libraries write it.
    #[must_use]
    pub(crate) fn find(&self, text: &str) -> Option<HeaderName> {
        self.names
            .iter()
            .find(|name| name.as_str() == text)
            .cloned()
    }

    /// Keep a name, while there is room.
    pub(crate) fn keep(&mut self, name: &HeaderName) {
        if self.names.len() < MAX_NAMES && !self.names.contains(name) {
            self.names.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_so_many_names_and_each_once() {
        let mut names = FieldNameCache::default();
        for n in 0..2 * MAX_NAMES {
            let name = HeaderName::try_from(format!("x-{n}")).unwrap();
            names.keep(&name);
            names.keep(&name);
        }
        assert_eq!(names.names.len(), MAX_NAMES);
        assert_eq!(
            names.find("x-3").as_ref().map(HeaderName::as_str),
            Some("x-3")
        );
        assert!(names.find("x-40").is_none());
    }
}
