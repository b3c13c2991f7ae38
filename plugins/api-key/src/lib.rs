//! `builtin:api-key`: finds the consumer of a request by its API key.
//!
//! Promises: a request passes only with a key that the operator issued and that is neither
//! disabled nor expired; then `consumer.id`, `api-key.id` and `auth.method` are set. To the
//! client every key that is not accepted looks the same. Deliberately does not: count, throttle
//! or look at plans (that is `usage-plan`), or ever write a key's text anywhere.

mod settings;

use settings::{Settings, Source};
use windlass_plugin_sdk::host::keys::{self, IdentifyError};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{EditError, json};

const KEY_MISSING: &str = "api_key_missing";
const KEY_REJECTED: &str = "api_key_rejected";

struct ApiKeyFilter {
    source: Source,
    missing: u16,
    rejected: u16,
    hide: bool,
    challenge: String,
}

impl Filter for ApiKeyFilter {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("api-key");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let source = settings.check()?;
        let setup = match &source {
            Source::Header(name) => Setup::new().reads(name),
            Source::Query(_) => Setup::new(),
        };
        let filter = Self {
            challenge: source.challenge(),
            missing: settings.missing,
            rejected: settings.rejected,
            hide: settings.hide,
            source,
        };
        let setup = setup
            .provides(["consumer.id", "api-key.id", "auth.method"])
            .sometimes(["plan.id"]);
        Ok((filter, setup))
    }
}

impl OnRequest for ApiKeyFilter {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let presented = match &self.source {
            Source::Header(name) => request.header(name),
            Source::Query(name) => request.query_param(name).map(String::into_bytes),
        };
        let presented = match presented {
            Some(presented) if !presented.is_empty() => presented,
            Some(_) | None => return Ok(self.refuse(self.missing, KEY_MISSING).into()),
        };
        match keys::identify(&presented) {
            Ok(()) => {
                if self.hide {
                    self.hide_key(request)?;
                } else if let Source::Header(name) = &self.source {
                    // The endpoint sees the key that was checked, and no other.
                    request.set_header(name, &presented)?;
                }
                Ok(RequestVerdict::NEXT)
            }
            Err(IdentifyError::Attribute(error)) => Err(error.into()),
            // The gateway's log says why, and which key it is.
            Err(IdentifyError::Rejected(_)) => Ok(self.refuse(self.rejected, KEY_REJECTED).into()),
        }
    }
}

impl ApiKeyFilter {
    /// RFC 9110, section 15.5.2: a 401 carries a challenge.
    fn refuse(&self, status: u16, reason: &str) -> LocalResponse {
        let refusal = LocalResponse::new(status, reason);
        if status == 401 {
            refusal.header("www-authenticate", self.challenge.as_str())
        } else {
            refusal
        }
    }

    fn hide_key(&self, request: &mut Request) -> Result<(), EditError> {
        match &self.source {
            Source::Header(name) => {
                request.remove_header(name)?;
            }
            Source::Query(name) => {
                let mut path = request.path_and_query();
                if path.remove_query(name) > 0 {
                    request.set_path(path.to_string())?;
                }
            }
        }
        Ok(())
    }
}

impl Describe for ApiKeyFilter {
    fn contribution(&self) -> Contribution {
        let (place, name) = match &self.source {
            Source::Header(name) => ("header", name),
            Source::Query(name) => ("query", name),
        };
        let scheme = json!({ "type": "apiKey", "in": place, "name": name });
        let missing = json!({ "description": "there is no API key" });
        let rejected = json!({ "description": "the API key is not accepted" });
        let either = json!({ "description": "there is no API key, or it is not accepted" });
        let contribution = Contribution::new().scheme(&format!("api-key-{name}"), scheme, &[]);
        match self.missing == self.rejected {
            true => contribution.response(self.missing, either),
            false => contribution
                .response(self.missing, missing)
                .response(self.rejected, rejected),
        }
    }
}

windlass_plugin_sdk::export!(ApiKeyFilter: request, description);

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(json: &str) -> ApiKeyFilter {
        let settings =
            windlass_plugin_sdk::parse_settings(json).expect("the settings have a shape");
        ApiKeyFilter::configure(settings)
            .expect("the settings are good")
            .0
    }

    #[test]
    fn a_401_carries_a_challenge_and_a_403_does_not() {
        let filter = configured("{}");
        let missing = filter.refuse(filter.missing, KEY_MISSING);
        assert_eq!(
            (missing.status, missing.reason.as_str()),
            (401, "api_key_missing")
        );
        assert_eq!(
            missing.headers,
            [(
                "www-authenticate".to_owned(),
                br#"ApiKey in="header", name="x-api-key""#.to_vec()
            )]
        );
        let rejected = filter.refuse(filter.rejected, KEY_REJECTED);
        assert_eq!(
            (rejected.status, rejected.reason.as_str()),
            (403, "api_key_rejected")
        );
        assert_eq!(rejected.headers, []);
    }

    #[test]
    fn the_statuses_are_as_configured() {
        let filter = configured(r#"{"query":"key","missing":403,"rejected":401}"#);
        assert_eq!(filter.refuse(filter.missing, KEY_MISSING).headers, []);
        assert_eq!(
            filter.refuse(filter.rejected, KEY_REJECTED).headers,
            [(
                "www-authenticate".to_owned(),
                br#"ApiKey in="query", name="key""#.to_vec()
            )]
        );
    }
}
