//! Masks text from strangers before it is repeated.
//!
//! A key is easily typed where an id, a plan or a name belongs. An answer or a log entry that
//! repeats such a text must pass it through [`masked`].

use std::borrow::Cow;

/// A word of this length or more may be a key: an imported key has at least as many characters, an
/// issued one has [`ISSUED_LENGTH`](super::issue::ISSUED_LENGTH).
pub(crate) const SHORTEST_KEY: usize = 20;

/// The characters that remain of a word that may be a key.
const SHOWN: usize = 4;

/// The text without any word that may be a key: its first four characters and two dots remain. A
/// word ends where no key can continue: at white space, commas and quotes.
#[must_use]
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let ends = |character: char| character.is_whitespace() || matches!(character, ',' | '"' | '\'');
    let may_be = |word: &str| word.chars().count() >= SHORTEST_KEY;
    if !text.split(ends).any(may_be) {
        return Cow::Borrowed(text);
    }
    let mut output = String::with_capacity(text.len());
    for part in text.split_inclusive(ends) {
        let word = part.trim_end_matches(ends);
        if may_be(word) {
            let bare = word.trim_start_matches('`');
            output.push_str(word.strip_suffix(bare).unwrap_or(""));
            output.extend(bare.chars().take(SHOWN));
            output.push_str("..");
            if word.ends_with('`') {
                output.push('`');
            }
        } else {
            output.push_str(word);
        }
        output.push_str(part.strip_prefix(word).unwrap_or(""));
    }
    Cow::Owned(output)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::generate;

    #[test]
    fn a_word_that_is_too_short_for_a_key_stays() {
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
            let output = masked(&format!("{before}{key}{after}")).into_owned();
            prop_assert!(!output.contains(&key[4..]), "{output}");
        }
    }
}
