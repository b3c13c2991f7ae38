//! Reads the settings from JSON text into a filter's own type, and reports every error with a JSON pointer.

mod reader;

use core::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Diagnostic, Filter, Setup};

impl Diagnostic {
    /// An error at the setting with this JSON pointer (RFC 6901), for example `/keep/0`; empty for the whole table. The
    /// message is lower case without a period, and says how to fix the error.
    #[must_use]
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            message: message.into(),
        }
    }

    /// An error in a document of the filter. The operator sees the line that names its file.
    #[must_use]
    pub fn of_document(name: &str, message: impl Into<String>) -> Self {
        Self::new(format!("documents/{name}"), message)
    }
}

/// The settings of a filter without settings; any setting is an error.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings from JSON text, as the gateway does before [`Filter::configure`]. Tests use
/// it too.
///
/// # Errors
/// Every invalid value, and every unknown or missing setting, each with its JSON pointer.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Vec<Diagnostic>> {
    let read = reader::read(json);
    match read.settings {
        Some(settings) if read.complaints.is_empty() => Ok(settings),
        _ => Err(read.complaints),
    }
}

/// Makes a filter from its settings. If some of them cannot be read, the filter still checks the others, so that the
/// operator sees all errors at once.
pub(crate) fn configure<F: Filter>(json: &str) -> Result<(F, Setup), Vec<Diagnostic>> {
    let mut read = reader::read(json);
    let made = read.settings.take().map(F::configure);
    if read.complaints.is_empty()
        && let Some(made) = made
    {
        return made;
    }
    let own = made.and_then(Result::err).unwrap_or_default();
    let own: Vec<_> = own.into_iter().filter_map(|own| read.place(own)).collect();
    read.complaints.extend(own);
    Err(read.complaints)
}

/// Reads a duration in the format of the gateway's configuration: a whole number and a unit, `ms`, `s`, `m`, `h` or
/// `d`. `None` if the text is not one.
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
    struct Settings {
        keep: Vec<String>,
        #[serde(default)]
        rules: std::collections::BTreeMap<String, Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        status: u16,
    }

    fn complaint(json: &str) -> (String, String) {
        let mut complaints = parse::<Settings>(json).expect_err("the settings are bad");
        assert_eq!(complaints.len(), 1, "{complaints:?}");
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

    /// The pointer and the first word of each error.
    fn told(complaints: &[Diagnostic]) -> Vec<(&str, &str)> {
        let told = complaints.iter().map(|complaint| {
            let word = complaint.message.split(' ').next().unwrap_or_default();
            (complaint.at.as_str(), word)
        });
        told.collect()
    }

    #[test]
    fn every_setting_that_cannot_be_read_is_told_at_once() {
        let json = r#"{
            "kep": 1, "keep": ["a", 2, null], "other": {},
            "rules": { "a": { "status": "x", "sttus": 1 }, "b": {}, "c": 5, "d": { "status": 70000 } }
        }"#;
        let complaints = parse::<Settings>(json).expect_err("the settings are bad");
        let mut told = told(&complaints);
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("/keep/1", "invalid"),
                ("/keep/2", "invalid"),
                ("/kep", "unknown"),
                ("/other", "unknown"),
                ("/rules/a/status", "invalid"),
                ("/rules/a/sttus", "unknown"),
                ("/rules/b", "missing"),
                ("/rules/c", "invalid"),
                ("/rules/d/status", "invalid"),
            ]
        );
    }

    #[test]
    fn a_setting_that_lacks_for_a_value_that_was_wrong_is_not_told_again() {
        let (at, _) = complaint(r#"{"keep":5}"#);
        assert_eq!(at, "/keep");
        let (at, _) = complaint(r#"{"keep":[],"rules":{"a":{"status":[]}}}"#);
        assert_eq!(at, "/rules/a/status");
    }

    #[test]
    fn what_is_no_json_is_told_once() {
        let (at, message) = complaint("{");
        assert_eq!(at, "");
        assert!(message.starts_with("is not JSON: "), "{message}");
    }

    /// A filter with two checks: no rule has the status 0, and there is at least one rule. Each error points to its own
    /// table.
    struct Checked;

    impl Filter for Checked {
        type Settings = Settings;

        fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
            let mut complaints = Vec::new();
            for (name, rule) in &settings.rules {
                if rule.status == 0 {
                    let at = format!("/rules/{name}/status");
                    complaints.push(Diagnostic::new(at, "must not be 0"));
                }
            }
            if settings.keep.is_empty() {
                complaints.push(Diagnostic::new("/keep", "must not be empty"));
            }
            for (place, keep) in settings.keep.iter().enumerate() {
                if keep.is_empty() {
                    let at = format!("/keep/{place}");
                    complaints.push(Diagnostic::new(at, "must not be empty"));
                }
            }
            if settings.rules.is_empty() {
                complaints.push(Diagnostic::new("", "has no rule"));
            }
            match complaints.is_empty() {
                true => Ok((Self, Setup::new())),
                false => Err(complaints),
            }
        }
    }

    fn configured(json: &str) -> Vec<Diagnostic> {
        match configure::<Checked>(json) {
            Ok(_) => Vec::new(),
            Err(complaints) => complaints,
        }
    }

    #[test]
    fn the_filter_checks_the_rest_beside_a_setting_that_is_not_known() {
        let complaints = configured(r#"{"keep":[],"kep":1,"rules":{"a":{"status":0}}}"#);
        let places: Vec<_> = complaints.iter().map(|complaint| &complaint.at).collect();
        assert_eq!(places, ["/kep", "/rules/a/status", "/keep"]);
        assert!(configured(r#"{"keep":["a"],"rules":{"a":{"status":1}}}"#).is_empty());
    }

    #[test]
    fn a_complaint_points_to_its_element_also_if_others_before_it_were_left_out() {
        let complaints = configured(r#"{"keep":[1,"a",2,"",3,""],"rules":{"a/b":{"status":1}}}"#);
        let places: Vec<_> = complaints.iter().map(|complaint| &complaint.at).collect();
        assert_eq!(
            places,
            ["/keep/0", "/keep/2", "/keep/4", "/keep/3", "/keep/5"]
        );
    }

    #[test]
    fn a_complaint_about_what_was_left_out_is_not_told() {
        // The filter sees no rule, because the only one cannot be read.
        let complaints = configured(r#"{"keep":[7],"rules":{"a":{"status":"x"}}}"#);
        let places: Vec<_> = complaints.iter().map(|complaint| &complaint.at).collect();
        assert_eq!(places, ["/keep/0", "/rules/a/status"]);
        let complaints = configured(r#"{"keep":["a"],"ruels":{"a":{"status":1}}}"#);
        let places: Vec<_> = complaints.iter().map(|complaint| &complaint.at).collect();
        assert_eq!(places, ["/ruels"]);
    }
}
