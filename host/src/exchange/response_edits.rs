//! Edits of a response that filters announce before there is one.
//!
//! A filter that only sets fields of the response announces the edits in its request phase, or once for
//! all requests, and needs no call for the response: [`crate::chain`] makes the edits in its place.
//! [`crate::wasm`] decides who may announce them, and when.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The largest head that edits may make. Bytes, names and values with four for each field.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// The most fields that edits may make.
pub(crate) const MAX_FIELDS: usize = 1024;

/// One edit of a response's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResponseEdit {
    /// Replace every value.
    Set(HeaderName, HeaderValue),
    /// Add a value after those present.
    Append(HeaderName, HeaderValue),
    /// Add a member to a list, unless it is there.
    AddMember(HeaderName, HeaderValue),
    /// Remove every value.
    Remove(HeaderName),
}

/// An edit would make a head larger than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an edit of the response would make a head of more than {MAX_HEAD} bytes or {MAX_FIELDS} fields"
)]
pub(crate) struct EditsTooLarge;

impl ResponseEdit {
    /// Make the edit.
    ///
    /// # Errors
    ///
    /// The head would be too large. It is as it was.
    pub(crate) fn apply(self, headers: &mut HeaderMap) -> Result<(), EditsTooLarge> {
        match self {
            Self::Remove(name) => {
                headers.remove(name);
            }
            Self::Set(name, value) => {
                check_room(headers, &name, &value)?;
                headers.insert(name, value);
            }
            Self::Append(name, value) => {
                check_room(headers, &name, &value)?;
                headers.append(name, value);
            }
            Self::AddMember(name, value) => {
                if !has_member(headers.get_all(&name).iter(), &value) {
                    check_room(headers, &name, &value)?;
                    headers.append(name, value);
                }
            }
        }
        Ok(())
    }
}

/// Whether a list-based field has this member, or `*`.
fn has_member<'v>(lines: impl Iterator<Item = &'v HeaderValue>, member: &HeaderValue) -> bool {
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.any(|found| {
        let found = found.trim_ascii();
        found == b"*" || found.eq_ignore_ascii_case(member.as_bytes())
    })
}

fn check_room(
    headers: &HeaderMap,
    name: &HeaderName,
    value: &HeaderValue,
) -> Result<(), EditsTooLarge> {
    if has_room(headers, name.as_str().len() + value.len()) {
        Ok(())
    } else {
        Err(EditsTooLarge)
    }
}

/// Whether a head stays within its bounds when one field of this size is added.
#[must_use]
pub(crate) fn has_room(fields: &HeaderMap, added: usize) -> bool {
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    size + added + 4 <= MAX_HEAD && fields.len() < MAX_FIELDS
}

/// The edits that the filters of one exchange announced, each with the filter's position in the chain.
#[derive(Debug, Default)]
pub struct ResponseEdits {
    pub(crate) edits: Vec<(u16, ResponseEdit)>,
}

impl ResponseEdits {
    /// How many the filter at this position announced.
    #[must_use]
    pub(crate) fn len_of(&self, position: u16) -> usize {
        self.edits.iter().filter(|(of, _)| *of == position).count()
    }

    /// Add one of the filter at this position.
    pub(crate) fn push(&mut self, position: u16, edit: ResponseEdit) {
        self.edits.push((position, edit));
    }

    /// Take those of the filter at this position, in their order.
    pub(crate) fn take(&mut self, position: u16) -> impl Iterator<Item = ResponseEdit> {
        let own = self.edits.extract_if(.., move |(of, _)| *of == position);
        own.map(|(_, edit)| edit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    fn vary(lines: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("vary", value(line));
        }
        let edit = ResponseEdit::AddMember(name("vary"), value("Origin"));
        edit.apply(&mut headers).expect("there is room");
        let lines = headers.get_all("vary").iter();
        lines
            .map(|line| line.to_str().expect("text").to_owned())
            .collect()
    }

    #[test]
    fn a_member_is_added_once_over_all_lines() {
        for (lines, after) in [
            (&[][..], &["Origin"][..]),
            (&["accept-encoding"], &["accept-encoding", "Origin"]),
            (&["accept-encoding, ORIGIN"], &["accept-encoding, ORIGIN"]),
            (
                &["accept-encoding", "origin"],
                &["accept-encoding", "origin"],
            ),
            (&["*"], &["*"]),
            (&["original"], &["original", "Origin"]),
        ] {
            assert_eq!(vary(lines), after, "{lines:?}");
        }
    }

    #[test]
    fn a_set_replaces_every_value_and_a_removal_leaves_none() {
        let mut headers = HeaderMap::new();
        for line in ["a", "b", "c"] {
            headers.append("x", value(line));
        }
        let set = ResponseEdit::Set(name("x"), value("d"));
        set.apply(&mut headers).expect("there is room");
        assert_eq!(headers.get_all("x").iter().count(), 1);
        let remove = ResponseEdit::Remove(name("x"));
        remove.apply(&mut headers).expect("a removal needs no room");
        assert!(headers.is_empty());
    }

    #[test]
    fn a_head_that_is_full_takes_no_field_more_but_loses_some() {
        let mut headers = HeaderMap::new();
        for number in 0..MAX_FIELDS {
            headers.append("x", HeaderValue::from(number));
        }
        for edit in [
            ResponseEdit::Set(name("y"), value("1")),
            ResponseEdit::Append(name("y"), value("1")),
            ResponseEdit::AddMember(name("y"), value("1")),
        ] {
            assert_eq!(edit.apply(&mut headers), Err(EditsTooLarge));
        }
        assert_eq!(headers.len(), MAX_FIELDS);
        let there = ResponseEdit::AddMember(name("x"), value("7"));
        assert_eq!(there.apply(&mut headers), Ok(()));
        assert_eq!(headers.len(), MAX_FIELDS);
        let remove = ResponseEdit::Remove(name("x"));
        assert_eq!(remove.apply(&mut headers), Ok(()));
    }

    #[test]
    fn each_filter_gets_its_own_edits_in_their_order() {
        let mut edits = ResponseEdits::default();
        for (position, field) in [(0, "a"), (1, "b"), (0, "c")] {
            edits.push(position, ResponseEdit::Remove(name(field)));
        }
        let of_first: Vec<_> = edits.take(0).collect();
        assert_eq!(
            of_first,
            [
                ResponseEdit::Remove(name("a")),
                ResponseEdit::Remove(name("c"))
            ]
        );
        assert_eq!(edits.edits.len(), 1);
    }
}
