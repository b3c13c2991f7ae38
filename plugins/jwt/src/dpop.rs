//! Proofs that a client holds the key to which its token is bound (DPoP, RFC 9449): their settings.

use std::time::Duration;

use serde::Deserialize;
use windlass_plugin_sdk::host::jwt::Proof;
use windlass_plugin_sdk::{Diagnostic, EditError, Request, parse_duration};

/// The field that holds a proof (RFC 9449, section 4.1), lower case.
const FIELD: &str = "dpop";

/// The longest `max_age`.
const MOST_MAX_AGE: Duration = Duration::from_secs(3600);

/// How proofs of a client's key are checked.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DpopSettings {
    /// Whether each token must come with a proof. The default is false: a token that is bound to a key must, and another one
    /// need not.
    #[serde(default)]
    pub required: bool,
    /// Scheme, host and port of the URL that clients use, such as `https://api.example`, where a proxy before the gateway
    /// hides them. The default is what the request says.
    #[serde(default)]
    origin: Option<String>,
    /// The most that may have passed since a proof was made, up to `1h`. The default is `1m`.
    #[serde(default)]
    max_age: Option<String>,
}

/// The checked settings.
#[derive(Debug)]
pub struct DpopRules {
    /// The scheme, host and port of the URL that clients use.
    origin: Option<String>,
    /// The maximum age of a proof.
    max_age: Duration,
}

impl DpopSettings {
    /// Check the settings; without a table, use the defaults.
    pub fn check(settings: Option<&Self>, complaints: &mut Vec<Diagnostic>) -> DpopRules {
        let origin = settings.and_then(|settings| settings.origin.clone());
        if origin.as_deref().is_some_and(|origin| !is_origin(origin)) {
            let message = "is not an origin: a scheme and a host, such as `https://api.example`";
            complaints.push(Diagnostic::new("/dpop/origin", message));
        }
        let max_age = settings.and_then(|settings| settings.max_age.as_deref());
        let max_age = match max_age {
            None => Duration::from_secs(60),
            Some(text) => match parse_duration(text) {
                Some(max_age) if (Duration::from_secs(1)..=MOST_MAX_AGE).contains(&max_age) => {
                    max_age
                }
                Some(_) | None => {
                    let message = "is not a time from `1s` to `1h`, such as `1m`";
                    complaints.push(Diagnostic::new("/dpop/max_age", message));
                    MOST_MAX_AGE
                }
            },
        };
        DpopRules { origin, max_age }
    }
}

fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) && host.is_ascii()
    })
}

impl DpopRules {
    /// Whether the settings give the URL that clients use.
    pub fn has_origin(&self) -> bool {
        self.origin.is_some()
    }

    /// The proof of a request. Empty if there is none or there are several; an empty text is never a valid proof.
    pub fn value(request: &Request) -> String {
        let fields = request.header_all(FIELD);
        match <[_; 1]>::try_from(fields) {
            Ok([field]) => String::from_utf8(field).unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Remove the proof from the request.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    pub fn hide(request: &mut Request) -> Result<(), EditError> {
        request.remove_header(FIELD).map(|_| ())
    }

    /// A proof with this value and these rules.
    pub fn proof<'a>(&'a self, value: &'a str) -> Proof<'a> {
        Proof {
            value,
            origin: self.origin.as_deref(),
            max_age: self.max_age,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let settings: DpopSettings = windlass_plugin_sdk::parse_settings(json).expect("settings");
        let mut complaints = Vec::new();
        DpopSettings::check(Some(&settings), &mut complaints);
        complaints.into_iter().map(|one| one.at).collect()
    }

    #[test]
    fn an_origin_has_no_path_and_a_proof_is_young() {
        assert!(complaints(r#"{"origin":"https://api.example:8443","max_age":"90s"}"#).is_empty());
        for bad in [
            r#"{"origin":"api.example"}"#,
            r#"{"origin":"https://api.example/"}"#,
            r#"{"origin":"https://"}"#,
            r#"{"origin":"ftp://api.example"}"#,
        ] {
            assert_eq!(complaints(bad), ["/dpop/origin"], "{bad}");
        }
        for bad in [
            r#"{"max_age":"0s"}"#,
            r#"{"max_age":"2h"}"#,
            r#"{"max_age":"60"}"#,
        ] {
            assert_eq!(complaints(bad), ["/dpop/max_age"], "{bad}");
        }
    }
}
