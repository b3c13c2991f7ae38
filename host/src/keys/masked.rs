//! What may be repeated of a text that somebody sent.
//!
//! A key is easily typed where an id, a plan or a name belongs. Whatever tells of such a text, in an
//! answer or in a line of the log, tells [`masked`] of it.

use std::borrow::Cow;

/// From this length on a word may be a key: an imported one has as many characters or more, an
/// issued one has [`ISSUED_LENGTH`](super::issue::ISSUED_LENGTH).
pub(crate) const SHORTEST_KEY: usize = 20;

/// What is shown of a word that may be a key. Characters.
const SHOWN: usize = 4;

/// The text, with no word in it that may be a key: of such a one only the first four characters are
/// left, and two dots. Words end where no key can go on: at white space, commas and quotes.
#[must_use]
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let ends = |character: char| character.is_whitespace() || matches!(character, ',' | '"' | '\'');
    let may_be = |word: &str| word.chars().count() >= SHORTEST_KEY;
    if !text.split(ends).any(may_be) {
        return Cow::Borrowed(text);
    }
    let mut told = String::with_capacity(text.len());
    for piece in text.split_inclusive(ends) {
        let word = piece.trim_end_matches(ends);
        if may_be(word) {
            let bare = word.trim_start_matches('`');
            told.push_str(word.strip_suffix(bare).unwrap_or(""));
            told.extend(bare.chars().take(SHOWN));
            told.push_str("..");
            if word.ends_with('`') {
                told.push('`');
            }
        } else {
            told.push_str(word);
        }
        told.push_str(piece.strip_prefix(word).unwrap_or(""));
    }
    Cow::Owned(told)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::generate;
    use super::*;

    #[test]
    fn what_is_too_short_for_a_key_is_told_as_it_is() {
        let text = "there is no key `k3v9q0c2m8x1z7ab`, and no plan \"gold\"";
        assert!(matches!(masked(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn a_word_that_may_be_a_key_is_not_repeated() {
        assert_eq!(masked("apikey1234abcdefghij"), "apik..");
        assert_eq!(masked("`apikey1234abcdefghij`, or"), "`apik..`, or");
        assert_eq!(masked("x=\"apikey1234abcdefghij\""), "x=\"apik..\"");
        let issued = generate().unwrap().0.reveal();
        assert_eq!(masked(&issued), format!("{}..", &issued[..4]));
    }

    proptest! {
        #[test]
        fn no_imported_key_is_repeated_wherever_it_stands(
            key in "[!#-&(-+\\--~]{20,128}", before in "[a-z ,'\"`]{0,8}", after in "[a-z ,'\"`]{0,8}"
        ) {
            let told = masked(&format!("{before}{key}{after}")).into_owned();
            prop_assert!(!told.contains(&key[4..]), "{told}");
        }
    }
}
