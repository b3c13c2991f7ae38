//! The settings: JSON text into a filter's own type, and every complaint with a JSON pointer.

use core::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::Diagnostic;

impl Diagnostic {
    /// A complaint about the setting at this JSON pointer (RFC 6901), for example `/keep/0`;
    /// empty for the whole table. The message is lower case without a period, and says how to
    /// mend it.
    #[must_use]
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            message: message.into(),
        }
    }

    /// A complaint about a document of the filter: the operator sees the line that names its file.
    #[must_use]
    pub fn of_document(name: &str, message: impl Into<String>) -> Self {
        Self::new(format!("documents/{name}"), message)
    }
}

/// The settings of a filter that has none; any setting is an error.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings from JSON text, as the gateway does before
/// [`Filter::configure`](crate::Filter::configure). Tests call it too.
///
/// # Errors
/// One complaint that points to the value that does not fit: serde stops at the first.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Vec<Diagnostic>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        vec![Diagnostic::new(
            pointer(error.path()),
            message(error.inner()),
        )]
    })
}

/// Reads a time as the gateway's configuration writes it: a whole number and a unit, `ms`, `s`, `m`, `h` or `d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

/// The error's text without the place in the JSON text, which the operator never sees.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(message) => message.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, milliseconds) in [("5s", 5000), ("250ms", 250), ("2m", 120_000), ("0s", 0)] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Some(time), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 s",
            "5w",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Settings {
        keep: Vec<String>,
        #[serde(default)]
        rules: std::collections::BTreeMap<String, Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Rule {
        status: u16,
    }

    fn complaint(json: &str) -> (String, String) {
        let mut complaints = parse::<Settings>(json).expect_err("the settings are bad");
        assert_eq!(complaints.len(), 1);
        let complaint = complaints.remove(0);
        (complaint.at, complaint.message)
    }

    #[test]
    fn good_settings_are_read() {
        let settings: Settings = parse(r#"{"keep":["session"]}"#).expect("good settings");
        assert_eq!(settings.keep, ["session"]);
    }

    #[test]
    fn a_wrong_type_points_to_its_place() {
        let (at, message) = complaint(r#"{"keep":[7]}"#);
        assert_eq!(at, "/keep/0");
        assert_eq!(message, "invalid type: integer `7`, expected a string");
    }

    #[test]
    fn a_pointer_is_escaped() {
        let (at, _) = complaint(r#"{"keep":[],"rules":{"a/b~c":{"status":"x"}}}"#);
        assert_eq!(at, "/rules/a~1b~0c/status");
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let (at, message) = complaint(r#"{"keep":[],"kep":1}"#);
        assert_eq!(at, "/kep");
        assert_eq!(message, "unknown field `kep`, expected `keep` or `rules`");
    }

    #[test]
    fn a_missing_setting_points_to_its_table() {
        let (at, message) = complaint("{}");
        assert_eq!(at, "");
        assert_eq!(message, "missing field `keep`");
    }
}
