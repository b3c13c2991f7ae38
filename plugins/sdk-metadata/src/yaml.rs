//! Reads YAML documents, with error messages for their authors.

use serde::de::DeserializeOwned;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{Error, ExternalMessageSource, MessageFormatter, UserMessageFormatter};

const NO_ANCHOR: &str =
    "an alias (`*name`) has no anchor (`&name`) before it: add the anchor, or write the value out";

const TOO_DEEP: &str = "is nested too deep: make it flatter";
const TOO_LARGE: &str = "is too large with all that its aliases (`*name`) stand for: write fewer of them, or give the document in JSON";

/// Reads YAML 1.2, in which `no` is text, as OpenAPI 3.1 requires (section 4.2).
///
/// # Errors
/// The position, the error, and how to fix it.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // Messages do not quote the document, because the operator has the file. Depth and the expansion of aliases are
    // limited by default.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let what = what(&error);
        match error.location() {
            Some(at) => format!("line {}, column {}: {what}", at.line(), at.column()),
            None => what,
        }
    })
}

fn what(error: &Error) -> String {
    let text = match error.without_snippet() {
        Error::AliasError { error, .. } => return what(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            let key = key.escape_debug();
            return format!("the key `{key}` is there twice in one mapping: remove one of them");
        }
        Error::NonFiniteFloat { value, .. } => {
            let value = value.escape_debug();
            return format!(
                "`{value}` is no number that JSON has: if it is a text, put it in quotes"
            );
        }
        Error::UnsupportedTag { tag, .. } => {
            return format!("the tag `{}` is not known: remove it", tag.escape_debug());
        }
        Error::DuplicateMappingKey { key: None, .. } => {
            "a key is there twice in one mapping: remove one of them"
        }
        Error::Eof { .. } => "the document is empty or ends too early: complete it",
        Error::MultipleDocuments { .. } => {
            "another document begins, after `---`: keep one of them in this file"
        }
        Error::UnknownAnchor { .. } => NO_ANCHOR,
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands within the value that it stands for: write the value out"
        }
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => TOO_DEEP,
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => TOO_LARGE,
        Error::ExternalMessage { source, .. } => match syntax(source) {
            Some(text) => text,
            None => return other_words(error),
        },
        other => return other_words(other),
    };
    text.to_owned()
}

/// The library's own messages for users, if they are good enough.
fn other_words(error: &Error) -> String {
    let text = UserMessageFormatter.format_message(error);
    format!("is not YAML: {}", text.escape_debug())
}

/// Messages for the usual syntax errors. `None` for another error.
fn syntax(source: &ExternalMessageSource) -> Option<&'static str> {
    let ExternalMessageSource::Parser(error) = source else {
        return None;
    };
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => Some(TOO_DEEP),
        ErrorKind::UnknownAnchor => Some(NO_ANCHOR),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
            Some("a tab stands where YAML wants spaces: indent by spaces")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        super::read(text)
    }

    #[test]
    fn an_error_has_its_place_and_its_cure_in_the_words_of_a_writer() {
        for (text, told) in [
            (
                "a: 1\nb: 2\na: 3\n",
                "line 3, column 1: the key `a` is there twice in one mapping: remove one of them",
            ),
            (
                "a: *b\n",
                "line 1, column 4: an alias (`*name`) has no anchor (`&name`) before it: add the anchor, or write the value out",
            ),
            (
                "a: 1\n---\nb: 2\n",
                "another document begins, after `---`: keep one of them in this file",
            ),
            (
                "a: .nan\n",
                "line 1, column 4: `.nan` is no number that JSON has: if it is a text, put it in quotes",
            ),
            (
                "a: [1, 2\n",
                "line 1, column 4: is not YAML: unclosed bracket",
            ),
            (
                "a:\n\tb: c\n",
                "line 2, column 2: a tab stands where YAML wants spaces",
            ),
            ("a: b: c\n", "is not YAML: "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text:?}: {error}");
            assert!(error.starts_with("line "), "{text:?}: {error}");
            for word in ["Options", "Policy", "budget", "serde", "deserialize"] {
                assert!(!error.contains(word), "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn what_grows_without_end_is_refused_in_plain_words() {
        let deep = ["[".repeat(5000) + &"]".repeat(5000), "- ".repeat(100) + "a"];
        let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let earlier = format!("*a{}, ", level - 1).repeat(10);
            aliases += &format!("a{level}: &a{level} [{earlier}]\n");
        }
        for deep in deep {
            let error = read(&deep).unwrap_err();
            assert!(error.contains(TOO_DEEP), "{error}");
        }
        assert!(read(&aliases).unwrap_err().contains(TOO_LARGE));
    }

    #[test]
    fn a_document_as_text_is_that_of_its_values() {
        let text = "a: [1, -1, 0x1F, 1.50, 1e3, 12345678901234567890123, ~, yes, 2001-01-01]\n\"b\": &x {c: \"\\u00e9\\n\"}\nd: *x\n7: !!str 8\n";
        let value: Value = super::read(text).unwrap();
        let compact: crate::text::Text = super::read(text).unwrap();
        assert_eq!(compact.value(), value);
    }

    #[test]
    fn words_and_numbers_are_those_of_yaml_1_2() {
        let read = read("a: no\nb: 012\nc: null\nd: true\n200: x\n").unwrap();
        assert_eq!(read["a"], "no");
        assert_eq!(read["c"], Value::Null);
        assert_eq!(read["d"], true);
        assert_eq!(read["200"], "x");
    }
}
