//! The settings as written, and the policy that results from them.

use serde::Deserialize;
use windlass_plugin_sdk::{Diagnostic, is_field_name, parse_duration};

use crate::origin::{Origins, is_wide};
use crate::policy::{Names, Policy};

/// The longest `max_age` in seconds: longer than any browser caches.
const MOST_MAX_AGE: u32 = 86_400;

/// Which web pages may read answers, and what they may ask for.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The origins whose pages may read answers: `https://app.example.com`; `https://*.example.com`
    /// for every name below a domain; `https://pr-*.example.com` or `http://localhost:*` as patterns;
    /// `*` for all.
    origins: Vec<String>,
    /// The methods that pages may ask for, or `*`. The default is `GET`, `HEAD`, `POST`, `PUT`, `PATCH`
    /// and `DELETE`.
    #[serde(default = "methods")]
    methods: Vec<String>,
    /// The request headers that pages may set, or `*`. The default is `authorization`, `content-type`
    /// and `x-api-key`.
    #[serde(default = "headers")]
    headers: Vec<String>,
    /// The response headers that pages may read beside those that they always may, or `*`. None by
    /// default.
    #[serde(default)]
    expose: Vec<String>,
    /// Whether pages may send cookies and the like, and read answers to that. The default is false.
    #[serde(default)]
    credentials: bool,
    /// How long a browser may keep the answer to a preflight: whole seconds, minutes or hours, such as
    /// `10m` (the default), at most `24h`.
    #[serde(default = "max_age")]
    max_age: String,
}

fn methods() -> Vec<String> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        .map(str::to_owned)
        .into()
}

fn headers() -> Vec<String> {
    ["authorization", "content-type", "x-api-key"]
        .map(str::to_owned)
        .into()
}

fn max_age() -> String {
    "10m".to_owned()
}

/// The policy of the settings, and warnings.
#[derive(Debug)]
pub struct Checked {
    pub policy: Policy,
    /// Warnings: a path in the settings, and a message.
    pub warnings: Vec<(String, String)>,
}

impl Settings {
    /// Check the settings, and make the policy.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn check(&self) -> Result<Checked, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        let origins = self.origins(&mut complaints);
        let methods = self.names("methods", &self.methods, check_method, &mut complaints);
        let headers = self.names("headers", &self.headers, check_header, &mut complaints);
        let expose = self.names("expose", &self.expose, check_header, &mut complaints);
        if self.credentials && expose == Names::Any {
            complaints.push(Diagnostic::new(
                "/expose",
                "with `credentials`, browsers take `*` for a header of that name: list the headers",
            ));
        }
        let max_age = seconds(&self.max_age).unwrap_or_else(|| {
            complaints.push(Diagnostic::new(
                "/max_age",
                format!(
                    "`{}` is no time: write whole seconds, minutes or hours, such as `10m`, at most `24h`",
                    self.max_age
                ),
            ));
            0
        });
        if !complaints.is_empty() {
            return Err(complaints);
        }
        Ok(Checked {
            warnings: self.warnings(&origins),
            policy: Policy {
                origins,
                methods,
                headers,
                expose,
                credentials: self.credentials,
                max_age: max_age.to_string(),
            },
        })
    }

    fn origins(&self, complaints: &mut Vec<Diagnostic>) -> Origins {
        let mut origins = Origins::default();
        for (place, rule) in self.origins.iter().enumerate() {
            if let Err(message) = origins.add(rule) {
                complaints.push(Diagnostic::new(format!("/origins/{place}"), message));
            }
        }
        let message = if self.origins.is_empty() {
            "names no origin: list those whose pages may read answers, or write `[\"*\"]` for all"
        } else if origins.is_any() && self.origins.len() > 1 {
            "`*` is every origin: leave the others out, or leave out `*`"
        } else if origins.is_any() && self.credentials {
            "with `credentials`, `*` would let every page act for whoever is logged in: list the origins"
        } else if origins.has_null() && self.credentials {
            "with `credentials`, `null` would let every page act for whoever is logged in, since any page can have that origin: leave it out"
        } else {
            return origins;
        };
        complaints.push(Diagnostic::new("/origins", message));
        origins
    }

    fn names(
        &self,
        setting: &str,
        names: &[String],
        check: fn(&str) -> Result<(), String>,
        complaints: &mut Vec<Diagnostic>,
    ) -> Names {
        if names.iter().any(|name| name == "*") {
            if names.len() > 1 {
                let message = "`*` is every one: leave the others out, or leave out `*`";
                complaints.push(Diagnostic::new(format!("/{setting}"), message));
            }
            return Names::Any;
        }
        for (place, name) in names.iter().enumerate() {
            if let Err(message) = check(name) {
                complaints.push(Diagnostic::new(format!("/{setting}/{place}"), message));
            }
        }
        Names::List(names.join(", "))
    }

    fn warnings(&self, origins: &Origins) -> Vec<(String, String)> {
        let mut warnings = Vec::new();
        for (place, rule) in self.origins.iter().enumerate() {
            let message = if is_wide(rule) {
                format!("`{rule}` is nearly everybody's: write the domain that is yours")
            } else if self.credentials && rule.starts_with("http://") && !rule.contains("localhost")
            {
                format!(
                    "`{rule}` with `credentials`: whoever is between the browser and that page can act for whoever is logged in; use `https`"
                )
            } else {
                continue;
            };
            warnings.push((format!("/origins/{place}"), message));
        }
        if origins.has_null() {
            let message = "any page can have the origin `null`, in a frame with `sandbox`: it is no better than `*`";
            warnings.push(("/origins".to_owned(), message.to_owned()));
        }
        warnings
    }
}

fn check_method(name: &str) -> Result<(), String> {
    if !is_field_name(name) {
        return Err(format!("`{name}` is not a legal method"));
    }
    let upper = name.to_ascii_uppercase();
    if upper != name {
        return Err(format!("methods are told apart by case: write `{upper}`"));
    }
    Ok(())
}

fn check_header(name: &str) -> Result<(), String> {
    match is_field_name(name) {
        true => Ok(()),
        false => Err(format!("`{name}` is not a legal header name")),
    }
}

/// Parse `30s`, `10m` or `2h` into seconds.
fn seconds(text: &str) -> Option<u32> {
    let time = parse_duration(text)?;
    let seconds = u32::try_from(time.as_secs()).ok()?;
    (time.subsec_millis() == 0 && seconds <= MOST_MAX_AGE).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Checked, Vec<Diagnostic>> {
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
    fn the_defaults_allow_what_apis_use_and_no_credentials() {
        let policy = check(r#"{"origins":["https://a.example"]}"#)
            .unwrap()
            .policy;
        assert!(!policy.credentials);
        assert_eq!(
            policy.methods,
            Names::List("GET, HEAD, POST, PUT, PATCH, DELETE".into())
        );
        assert_eq!(
            policy.headers,
            Names::List("authorization, content-type, x-api-key".into())
        );
        assert_eq!(policy.expose, Names::List(String::new()));
        assert_eq!(policy.max_age, "600");
    }

    #[test]
    fn credentials_are_for_named_origins() {
        for (json, at) in [
            (r#"{"origins":["*"],"credentials":true}"#, "/origins"),
            (r#"{"origins":["null"],"credentials":true}"#, "/origins"),
            (
                r#"{"origins":["https://a.example"],"credentials":true,"expose":["*"]}"#,
                "/expose",
            ),
        ] {
            let complaints = complaints(json);
            assert_eq!(complaints.len(), 1, "{json}: {complaints:?}");
            assert_eq!(complaints[0].0, at);
            assert!(complaints[0].1.contains("with `credentials`"));
        }
    }

    #[test]
    fn every_complaint_is_made_at_once_and_at_its_place() {
        let complaints = complaints(
            r#"{"origins":["*","a.example"],"methods":["get","a b"],"headers":["x y","*"],"expose":["a:"],"max_age":"2d"}"#,
        );
        let places: Vec<_> = complaints.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(
            places,
            [
                "/origins/1",
                "/origins",
                "/methods/0",
                "/methods/1",
                "/headers",
                "/expose/0",
                "/max_age"
            ]
        );
        assert_eq!(
            complaints[2].1,
            "methods are told apart by case: write `GET`"
        );
    }

    #[test]
    fn no_origin_at_all_is_an_error() {
        assert_eq!(complaints(r#"{"origins":[]}"#)[0].0, "/origins");
        assert_eq!(complaints("{}")[0].1, "missing field `origins`");
        assert_eq!(complaints(r#"{"origin":"*"}"#)[0].0, "/origin");
    }

    #[test]
    fn what_lets_too_many_in_is_warned_of() {
        let checked = check(
            r#"{"origins":["https://*.com","http://a.example","http://localhost:3000","https://*.github.io"],"credentials":true}"#,
        );
        let warnings = checked.unwrap().warnings;
        let places: Vec<_> = warnings.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(places, ["/origins/0", "/origins/1", "/origins/3"]);
        let checked = check(r#"{"origins":["null"]}"#).unwrap();
        assert_eq!(checked.warnings[0].0, "/origins");
        let checked = check(r#"{"origins":["https://*.example.com"],"credentials":true}"#);
        assert!(checked.unwrap().warnings.is_empty());
    }

    #[test]
    fn times_are_whole_and_bounded() {
        for (text, found) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("24h", Some(86_400)),
            ("25h", None),
            ("86401s", None),
            ("9999999999h", None),
            ("10", None),
            ("m", None),
            ("", None),
            ("-1s", None),
            ("1.5h", None),
            ("1ä", None),
        ] {
            assert_eq!(seconds(text), found, "{text}");
        }
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
