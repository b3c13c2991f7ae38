//! The settings as written, and where the key is then looked for.

use serde::Deserialize;
use windlass_plugin_sdk::{Diagnostic, is_field_name, is_reserved_field};

const DEFAULT_HEADER: &str = "x-api-key";

/// Where the key is, and what a request without a good one gets.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The header that holds the key. The default is `x-api-key`, unless `query` is given.
    #[serde(default)]
    header: Option<String>,
    /// The query parameter that holds the key, in the place of a header.
    #[serde(default)]
    query: Option<String>,
    /// The status of the answer when there is no key: 401 or 403. The default is 401.
    #[serde(default = "unauthorized")]
    #[cfg_attr(test, schemars(extend("enum" = [401, 403])))]
    pub missing: u16,
    /// The status of the answer when the key is not accepted: 401 or 403. The default is 403.
    #[serde(default = "forbidden")]
    #[cfg_attr(test, schemars(extend("enum" = [401, 403])))]
    pub rejected: u16,
    /// Whether the key is removed before the request goes upstream. The default is true.
    #[serde(default = "yes")]
    pub hide: bool,
}

const fn unauthorized() -> u16 {
    401
}

const fn forbidden() -> u16 {
    403
}

const fn yes() -> bool {
    true
}

/// Where the key is.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// In the header of this name, lower case.
    Header(String),
    /// In the query parameter of this name.
    Query(String),
}

impl Settings {
    /// Where the key is looked for.
    ///
    /// # Errors
    /// Every complaint about the settings.
    pub fn check(&self) -> Result<Source, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        for (at, status) in [("/missing", self.missing), ("/rejected", self.rejected)] {
            if status != 401 && status != 403 {
                complaints.push(Diagnostic::new(
                    at,
                    format!("must be 401 or 403, not {status}"),
                ));
            }
        }
        let source = match (&self.header, &self.query) {
            (Some(_), Some(_)) => {
                complaints.push(Diagnostic::new(
                    "/query",
                    "the key is in a header or in the query: remove `header` or `query`",
                ));
                return Err(complaints);
            }
            (None, Some(name)) => {
                if name.is_empty() {
                    complaints.push(Diagnostic::new("/query", "name the query parameter"));
                }
                Source::Query(name.clone())
            }
            (header, None) => {
                let name = header.as_deref().unwrap_or(DEFAULT_HEADER);
                complaints.extend(check_header(name));
                Source::Header(name.to_ascii_lowercase())
            }
        };
        if complaints.is_empty() {
            Ok(source)
        } else {
            Err(complaints)
        }
    }
}

fn check_header(name: &str) -> Option<Diagnostic> {
    let message = if !is_field_name(name) {
        format!("`{name}` is not a legal header name")
    } else if is_reserved_field(name) || name.eq_ignore_ascii_case("host") {
        format!("`{name}` is reserved to the gateway; name another header")
    } else {
        return None;
    };
    Some(Diagnostic::new("/header", message))
}

impl Source {
    /// The challenge of a 401. The scheme is not registered, but says what is asked for in the
    /// words of OpenAPI's API key.
    pub fn challenge(&self) -> String {
        let (place, name) = match self {
            Self::Header(name) => ("header", name),
            Self::Query(name) => ("query", name),
        };
        let mut challenge = format!("ApiKey in=\"{place}\", name=\"");
        for character in name.chars() {
            if matches!(character, '"' | '\\') {
                challenge.push('\\');
            }
            challenge.push(if character.is_control() {
                ' '
            } else {
                character
            });
        }
        challenge.push('"');
        challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Source, Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings::<Settings>(json)?.check()
    }

    fn complaints(json: &str) -> Vec<(String, String)> {
        check(json)
            .expect_err("the settings are bad")
            .into_iter()
            .map(|complaint| (complaint.at, complaint.message))
            .collect()
    }

    #[test]
    fn the_key_is_in_one_place() {
        assert_eq!(check("{}").unwrap(), Source::Header("x-api-key".into()));
        assert_eq!(
            check(r#"{"header":"X-Key"}"#).unwrap(),
            Source::Header("x-key".into())
        );
        assert_eq!(
            check(r#"{"query":"api_key"}"#).unwrap(),
            Source::Query("api_key".into())
        );
        assert_eq!(
            complaints(r#"{"header":"a","query":"b"}"#),
            [(
                "/query".into(),
                "the key is in a header or in the query: remove `header` or `query`".into()
            )]
        );
    }

    #[test]
    fn every_complaint_is_made_at_once() {
        assert_eq!(
            complaints(r#"{"header":"x key","missing":404,"rejected":500}"#),
            [
                ("/missing".into(), "must be 401 or 403, not 404".into()),
                ("/rejected".into(), "must be 401 or 403, not 500".into()),
                (
                    "/header".into(),
                    "`x key` is not a legal header name".into()
                ),
            ]
        );
        assert_eq!(
            complaints(r#"{"header":"Connection"}"#),
            [(
                "/header".into(),
                "`Connection` is reserved to the gateway; name another header".into()
            )]
        );
        assert_eq!(
            complaints(r#"{"query":""}"#),
            [("/query".into(), "name the query parameter".into())]
        );
    }

    #[test]
    fn a_misspelt_setting_is_an_error() {
        let complaints = complaints(r#"{"heder":"x-api-key"}"#);
        assert_eq!(complaints[0].0, "/heder");
    }

    #[test]
    fn a_challenge_is_quoted() {
        assert_eq!(
            Source::Query("a\"b".into()).challenge(),
            r#"ApiKey in="query", name="a\"b""#
        );
    }

    /// `BLESS=1 cargo test` writes the file anew.
    #[test]
    fn the_schema_file_is_in_step() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Settings)).unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write("settings.schema.json", &schema).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string("settings.schema.json").unwrap(),
            schema
        );
    }
}
