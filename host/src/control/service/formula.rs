//! Guards comma-separated values against spreadsheets.
//!
//! A spreadsheet takes a field that begins with one of `= + - @`, a tab or a carriage return for a
//! formula, and runs it (OWASP, "CSV Injection"). Names, consumers and descriptions may come from
//! customers, so an export writes a `'` before such a field, and a spreadsheet shows it as text.
//! It also writes one before a field that has a `'` there already, so that an import can remove
//! exactly one.

use std::borrow::Cow;

/// Whether a spreadsheet takes the field, without leading `'`s, for a formula.
fn is_formula(text: &str) -> bool {
    let bare = text.trim_start_matches('\'');
    bare.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

/// The field as an export writes it.
#[must_use]
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    match is_formula(text) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

/// The original of an exported field.
#[must_use]
pub(crate) fn bare(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if is_formula(rest) => rest,
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_field_that_a_spreadsheet_would_run_is_guarded() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        for text in ["", "acme", "1-1", "'quoted'", "a=b"] {
            assert_eq!(guarded(text), text);
            assert_eq!(bare(text), text);
        }
    }

    proptest! {
        #[test]
        fn a_field_comes_back_as_it_was(text in "['=+@a\t-]{0,6}") {
            let exported = guarded(&text);
            prop_assert_eq!(bare(&exported), &*text);
            prop_assert!(!exported.starts_with(['=', '+', '-', '@', '\t']));
        }
    }
}
