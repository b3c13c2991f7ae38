//! The settings as written, and the sources of the key that result from them.

use crate::place::Place;
use serde::Deserialize;
use windlass_plugin_sdk::{Diagnostic, is_field_name, is_reserved_field};

const DEFAULT_HEADER: &str = "x-api-key";

/// The most sources; each one is read for every request.
const MAX_PLACES: usize = 8;

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
    /// Places that may hold the key, in the order in which they are looked at; the first that holds something decides.
    /// In the place of `header` and `query`.
    #[serde(default)]
    from: Option<Vec<From>>,
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

/// A place where the key may be: one of `header`, `cookie` and `query`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct From {
    /// The header that holds the key.
    #[serde(default)]
    header: Option<String>,
    /// The word before the key in the header; `Basic` for a user and a password. Empty: the key stands alone. The default is
    /// `Bearer` in `authorization`, and empty in another header.
    #[serde(default)]
    scheme: Option<String>,
    /// The cookie that holds the key.
    #[serde(default)]
    cookie: Option<String>,
    /// The query parameter that holds the key.
    #[serde(default)]
    query: Option<String>,
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

impl Settings {
    /// The sources of the key.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn check(&self) -> Result<Vec<Place>, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        for (at, status) in [("/missing", self.missing), ("/rejected", self.rejected)] {
            if status != 401 && status != 403 {
                complaints.push(Diagnostic::new(
                    at,
                    format!("must be 401 or 403, not {status}"),
                ));
            }
        }
        let places = self.places(&mut complaints);
        match complaints.is_empty() {
            true => Ok(places),
            false => Err(complaints),
        }
    }

    fn places(&self, complaints: &mut Vec<Diagnostic>) -> Vec<Place> {
        let Some(from) = &self.from else {
            return self.place(complaints).into_iter().collect();
        };
        for (at, other) in [("/header", &self.header), ("/query", &self.query)] {
            if other.is_some() {
                let text = "stands in `from` already, or should: remove it here";
                complaints.push(Diagnostic::new(at, text));
            }
        }
        if from.is_empty() || from.len() > MAX_PLACES {
            let text = format!("names {} places, wanted 1 to {MAX_PLACES}", from.len());
            complaints.push(Diagnostic::new("/from", text));
        }
        let mut checked = Vec::new();
        for (index, place) in from.iter().enumerate() {
            let at = format!("/from/{index}");
            let Some(place) = place.check(&at, complaints) else {
                continue;
            };
            if checked.contains(&place) {
                complaints.push(Diagnostic::new(at, "is there twice"));
            }
            checked.push(place);
        }
        checked
    }

    /// The one source, if there is no list.
    fn place(&self, complaints: &mut Vec<Diagnostic>) -> Option<Place> {
        match (&self.header, &self.query) {
            (Some(_), Some(_)) => {
                complaints.push(Diagnostic::new(
                    "/query",
                    "the key is in a header or in the query: remove one of `header` and `query`, or name both in `from`",
                ));
                None
            }
            (None, Some(name)) => {
                check_query(name, "/query", complaints);
                Some(Place::Query(name.clone()))
            }
            (header, None) => {
                let name = header.as_deref().unwrap_or(DEFAULT_HEADER);
                complaints.extend(check_header(name, "/header"));
                Some(Place::Header {
                    name: name.to_ascii_lowercase(),
                    scheme: None,
                })
            }
        }
    }
}

impl From {
    /// The source, with its names in the form in which they are compared.
    fn check(&self, at: &str, complaints: &mut Vec<Diagnostic>) -> Option<Place> {
        if self.scheme.is_some() && self.header.is_none() {
            let text = "has a `scheme` without a `header`: remove it";
            complaints.push(Diagnostic::new(at, text));
        }
        match (&self.header, &self.cookie, &self.query) {
            (Some(name), None, None) => {
                complaints.extend(check_header(name, at));
                let name = name.to_ascii_lowercase();
                if name == "cookie" {
                    let text = "is the header of all cookies: write `{ cookie = \"<name>\" }`";
                    complaints.push(Diagnostic::new(at, text));
                }
                let default = if name == "authorization" {
                    "Bearer"
                } else {
                    ""
                };
                let scheme = self.scheme.as_deref().unwrap_or(default);
                if !scheme.is_empty() && !is_field_name(scheme) {
                    let text = format!("`{scheme}` is not a legal scheme (RFC 9110, section 11.1)");
                    complaints.push(Diagnostic::new(at, text));
                }
                let scheme = (!scheme.is_empty()).then(|| scheme.to_owned());
                Some(Place::Header { name, scheme })
            }
            (None, Some(name), None) => {
                // RFC 6265, section 4.1.1: a cookie's name is a token, like the name of a field.
                if !is_field_name(name) {
                    let text = format!("`{name}` is not a legal name of a cookie");
                    complaints.push(Diagnostic::new(at, text));
                }
                Some(Place::Cookie(name.clone()))
            }
            (None, None, Some(name)) => {
                check_query(name, at, complaints);
                Some(Place::Query(name.clone()))
            }
            _ => {
                let text = "wants exactly one of `header`, `cookie` and `query`";
                complaints.push(Diagnostic::new(at, text));
                None
            }
        }
    }
}

fn check_query(name: &str, at: &str, complaints: &mut Vec<Diagnostic>) {
    if name.is_empty() {
        complaints.push(Diagnostic::new(at, "name the query parameter"));
    }
}

fn check_header(name: &str, at: &str) -> Option<Diagnostic> {
    let message = if !is_field_name(name) {
        format!("`{name}` is not a legal header name")
    } else if is_reserved_field(name) || name.eq_ignore_ascii_case("host") {
        format!("`{name}` is reserved to the gateway; name another header")
    } else {
        return None;
    };
    Some(Diagnostic::new(at, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Vec<Place>, Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings::<Settings>(json)?.check()
    }

    fn complaints(json: &str) -> Vec<(String, String)> {
        check(json)
            .expect_err("the settings are bad")
            .into_iter()
            .map(|complaint| (complaint.at, complaint.message))
            .collect()
    }

    fn header(name: &str, scheme: Option<&str>) -> Place {
        Place::Header {
            name: name.to_owned(),
            scheme: scheme.map(str::to_owned),
        }
    }

    #[test]
    fn the_key_is_in_one_place_or_in_several() {
        assert_eq!(check("{}").unwrap(), [header("x-api-key", None)]);
        assert_eq!(
            check(r#"{"header":"X-Key"}"#).unwrap(),
            [header("x-key", None)]
        );
        assert_eq!(
            check(r#"{"query":"api_key"}"#).unwrap(),
            [Place::Query("api_key".into())]
        );
        let several = r#"{"from":[{"header":"X-Key"},{"header":"Authorization"},{"header":"authorization","scheme":"Basic"},{"cookie":"k"}]}"#;
        assert_eq!(
            check(several).unwrap(),
            [
                header("x-key", None),
                header("authorization", Some("Bearer")),
                header("authorization", Some("Basic")),
                Place::Cookie("k".into())
            ]
        );
        assert_eq!(complaints(r#"{"header":"a","query":"b"}"#)[0].0, "/query");
    }

    #[test]
    fn every_place_is_complained_about_where_it_stands() {
        let bad = r#"{"header":"a","from":[{"header":"cookie"},{"query":""},{"cookie":"a b"},{"query":"k"},{"query":"k"},{},{"query":"q","scheme":"x"},{"header":"a","scheme":"a b"}]}"#;
        let places: Vec<_> = complaints(bad).into_iter().map(|(at, _)| at).collect();
        assert_eq!(
            places,
            [
                "/header", "/from/0", "/from/1", "/from/2", "/from/4", "/from/5", "/from/6",
                "/from/7"
            ]
        );
        assert_eq!(complaints(r#"{"from":[]}"#)[0].0, "/from");
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

    /// `BLESS=1 cargo test` writes the file.
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
