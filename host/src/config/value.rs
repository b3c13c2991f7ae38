//! Texts to values, one file each: pure functions without a place in the file.
//!
//! Promises: no text makes them panic, and each refusal says, where it can, what was probably
//! meant. Deliberately not here: where the text stands ([`super::field`] adds that).

pub(super) mod address;
pub(super) mod attribute;
pub(super) mod balance;
pub(super) mod digest;
pub(super) mod host;
pub(super) mod instant;
pub(super) mod message;
pub(super) mod name;
pub(super) mod path;
pub(super) mod plugin;
pub(super) mod redirect;
pub(super) mod rewrite;
pub(super) mod settings;
pub(super) mod store;
pub(super) mod template;
pub(super) mod unit;
pub(super) mod url;

/// Why a text is refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// The fault, said of the text; none: it is just not what was wanted.
    pub(crate) message: Option<String>,
    /// The text to write in its place.
    pub(crate) help: Option<String>,
    /// Whether it may hold a secret, and must not be shown.
    pub(crate) private: bool,
}

impl Refused {
    /// Not what was wanted.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// The fault.
    pub(crate) fn because(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::default()
        }
    }

    /// Not to be shown.
    pub(crate) fn private(self) -> Self {
        Self {
            private: true,
            ..self
        }
    }

    /// Adds what to write in its place.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to write in its place, as a TOML string.
    pub(crate) fn write(self, text: &str) -> Self {
        self.help(format!("write {}", quoted(text)))
    }
}

/// A text as a TOML string in backticks.
pub(super) fn quoted(text: &str) -> String {
    format!("`\"{}\"`", text.escape_debug())
}

/// The longest text that a message repeats. Characters.
const LONGEST: usize = 60;

/// A text fit for a message: one line of bounded length.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The names in backticks, with commas between them.
pub(crate) fn backticked<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names = names.into_iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

/// Says which names there are.
pub(super) fn there_are<'a>(names: impl IntoIterator<Item = &'a str>, none: &str) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.len() {
        0 => none.to_owned(),
        1 => format!("there is {}", backticked(names)),
        _ => format!("there are {}", backticked(names)),
    }
}

/// The choices, with `or` before the last.
pub(super) fn either(choices: &[String]) -> String {
    match choices.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Asks whether the known word that is most like `word` was meant, if one is like it at all.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// The known word that is most like `word`, if one is like it at all.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let word = plain(word);
    let near = |candidate: &&str| {
        let candidate = plain(candidate);
        let distance = strsim::damerau_levenshtein(&word, &candidate);
        let longest = word.chars().count().max(candidate.chars().count());
        let shortened = word.len() >= 3 && candidate.starts_with(&word);
        (distance * 3 <= longest + 1 || shortened).then_some(distance)
    };
    known
        .into_iter()
        .filter_map(|candidate| near(&candidate).map(|distance| (distance, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["orders", "users", "keys"];
        assert_eq!(nearest("ordres", known), Some("orders"));
        assert_eq!(nearest("Orders", known), Some("orders"));
        assert_eq!(nearest("key", known), Some("keys"));
        assert_eq!(nearest("ord", known), Some("orders"));
        assert_eq!(
            nearest("least_conn", ["least-connections"]),
            Some("least-connections")
        );
        assert_eq!(nearest("billing", known), None);
        assert_eq!(nearest("", known), None);
    }
}
