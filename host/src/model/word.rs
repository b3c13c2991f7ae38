//! Enums whose values are words: of the configuration, of metrics, of logs.

/// An enum with a word for each value; `derive(Word)` makes it.
pub(crate) trait Word: Copy + Sync + 'static {
    /// The words, and what they stand for, in the order of the variants.
    const WORDS: &'static [(&'static str, Self)];

    /// Hints for words that it does not have, but that people write, with spaces between.
    const HINTS: &'static [(&'static str, &'static str)];

    /// The word of this value.
    #[must_use]
    fn word(self) -> &'static str;

    /// All words.
    fn words() -> impl Iterator<Item = &'static str> {
        Self::WORDS.iter().map(|(word, _)| *word)
    }

    /// All values.
    fn all() -> impl Iterator<Item = Self> {
        Self::WORDS.iter().map(|(_, value)| *value)
    }

    /// The value of a word.
    #[must_use]
    fn of_word(word: &str) -> Option<Self> {
        Self::all()
            .zip(Self::words())
            .find_map(|(value, own)| (own == word).then_some(value))
    }
}
