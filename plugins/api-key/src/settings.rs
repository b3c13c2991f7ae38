//! The settings as written, and where the key is then looked for.

use crate::place::Place;
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
    /// Places that may hold the key, in the order in which they are looked at; the first that holds something decides.
    /// Each is one of `{ header = "<name>" }`, `{ authorization = "bearer" }`, `{ authorization = "basic" }`,
    /// `{ cookie = "<name>" }` and `{ query = "<name>" }`. In the place of `header` and `query`.
    #[serde(default)]
    places: Option<Vec<Place>>,
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

impl Settings {
    /// Where the key is looked for.
    ///
    /// # Errors
    /// Every complaint about the settings.
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
        if let Some(places) = &self.places {
            for (at, other) in [("/header", &self.header), ("/query", &self.query)] {
                if other.is_some() {
                    let text = "stands in `places` already, or should: remove it here";
                    complaints.push(Diagnostic::new(at, text));
                }
            }
            if places.is_empty() {
                let text = "name a place, such as `{ header = \"x-api-key\" }`";
                complaints.push(Diagnostic::new("/places", text));
            }
            let mut checked = Vec::new();
            for (index, place) in places.iter().enumerate() {
                let at = format!("/places/{index}");
                let place = check_place(place, &at, complaints);
                if checked.contains(&place) {
                    complaints.push(Diagnostic::new(at, "is there twice"));
                }
                checked.push(place);
            }
            return checked;
        }
        let place = match (&self.header, &self.query) {
            (Some(_), Some(_)) => {
                complaints.push(Diagnostic::new(
                    "/query",
                    "the key is in a header or in the query: remove one of `header` and `query`, or name both in `places`",
                ));
                return Vec::new();
            }
            (None, Some(name)) => (Place::Query(name.clone()), "/query"),
            (header, None) => {
                let name = header.as_deref().unwrap_or(DEFAULT_HEADER);
                (Place::Header(name.to_owned()), "/header")
            }
        };
        vec![check_place(&place.0, place.1, complaints)]
    }
}

/// A place, with names as they are compared.
fn check_place(place: &Place, at: &str, complaints: &mut Vec<Diagnostic>) -> Place {
    match place {
        Place::Header(name) => {
            complaints.extend(check_header(name, at));
            let name = name.to_ascii_lowercase();
            if name == "authorization" || name == "cookie" {
                let text = format!(
                    "`{name}` holds more than a key: write `{{ authorization = \"bearer\" }}`, `{{ authorization = \"basic\" }}` or `{{ cookie = \"<name>\" }}` in `places`"
                );
                complaints.push(Diagnostic::new(at, text));
            }
            Place::Header(name)
        }
        Place::Query(name) => {
            if name.is_empty() {
                complaints.push(Diagnostic::new(at, "name the query parameter"));
            }
            place.clone()
        }
        Place::Cookie(name) => {
            // RFC 6265, section 4.1.1: a token, as the name of a field is.
            if !is_field_name(name) {
                let text = format!("`{name}` is not a legal name of a cookie");
                complaints.push(Diagnostic::new(at, text));
            }
            place.clone()
        }
        Place::Authorization(_) => place.clone(),
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
    use crate::place::Scheme;

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

    #[test]
    fn the_key_is_in_one_place_or_in_several() {
        assert_eq!(check("{}").unwrap(), [Place::Header("x-api-key".into())]);
        assert_eq!(
            check(r#"{"header":"X-Key"}"#).unwrap(),
            [Place::Header("x-key".into())]
        );
        assert_eq!(
            check(r#"{"query":"api_key"}"#).unwrap(),
            [Place::Query("api_key".into())]
        );
        let several = r#"{"places":[{"header":"X-Key"},{"authorization":"basic"},{"cookie":"k"}]}"#;
        assert_eq!(
            check(several).unwrap(),
            [
                Place::Header("x-key".into()),
                Place::Authorization(Scheme::Basic),
                Place::Cookie("k".into())
            ]
        );
        assert_eq!(
            complaints(r#"{"header":"a","query":"b"}"#),
            [(
                "/query".into(),
                "the key is in a header or in the query: remove one of `header` and `query`, or name both in `places`".into()
            )]
        );
    }

    #[test]
    fn every_place_is_complained_about_where_it_stands() {
        let bad = r#"{"header":"a","places":[{"header":"cookie"},{"query":""},{"cookie":"a b"},{"query":"k"},{"query":"k"}]}"#;
        let places: Vec<_> = complaints(bad).into_iter().map(|(at, _)| at).collect();
        assert_eq!(
            places,
            [
                "/header",
                "/places/0",
                "/places/1",
                "/places/2",
                "/places/4"
            ]
        );
        assert_eq!(complaints(r#"{"places":[]}"#)[0].0, "/places");
        assert_eq!(
            complaints(r#"{"places":[{"authorization":"digest"}]}"#)[0].0,
            "/places/0/authorization"
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
