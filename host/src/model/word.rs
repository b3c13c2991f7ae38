//! Enums whose values are words: of the configuration, for one.

/// An enum with a word for each value; `derive(Word)` makes it.
pub(crate) trait Word: Copy + Sync + 'static {
    /// The words, and what they stand for.
    const WORDS: &'static [(&'static str, Self)];

    /// Hints for words that it does not have, but that people write, with spaces between.
    const HINTS: &'static [(&'static str, &'static str)];
}
