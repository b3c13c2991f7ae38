//! `builtin:api-key`: finds the consumer of a request by its API key.
//!
//! A request passes only with a key that the operator issued and that is neither disabled nor expired; the filter then
//! sets `consumer.id`, `api-key.id` and `auth.method`. All rejected keys look the same to the client. It deliberately
//! does not count, limit or look at plans (`usage-plan` does), and never writes a key's text anywhere.

mod place;
mod settings;

use place::{Place, Presented};
use settings::Settings;
use windlass_plugin_sdk::host::keys::{self, FieldError, IdentifyError};
use windlass_plugin_sdk::host::log;
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{EditError, json};

const KEY_MISSING: &str = "api_key_missing";
const KEY_REJECTED: &str = "api_key_rejected";

struct ApiKeyFilter {
    places: Vec<Place>,
    missing: u16,
    rejected: u16,
    hide: bool,
}

impl Filter for ApiKeyFilter {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("api-key");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let places = settings.check()?;
        let headers = places.iter().filter_map(Place::header);
        let setup = headers.fold(Setup::new(), |setup, name| setup.reads(name));
        let filter = Self {
            missing: settings.missing,
            rejected: settings.rejected,
            hide: settings.hide,
            places,
        };
        let setup = setup
            .provides(["consumer.id", "api-key.id", "auth.method"])
            .sometimes(["plan.id"]);
        Ok((filter, setup))
    }
}

impl OnRequest for ApiKeyFilter {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        // In the most common case, the gateway can do everything in one call.
        if let [Place::Header { name, scheme: None }] = self.places.as_slice() {
            return self.identify_field(name);
        }
        let mut places = self.places.iter();
        let found = places.find_map(|place| Some((place, place.presented(request)?)));
        let Some((place, presented)) = found else {
            return Ok(self.refuse(self.missing, KEY_MISSING).into());
        };
        if is_of_another(&presented) {
            return Ok(self.refuse(self.rejected, KEY_REJECTED).into());
        }
        match keys::identify(&presented.key) {
            Ok(()) => {
                self.hide_keys(place, request)?;
                Ok(RequestVerdict::NEXT)
            }
            Err(IdentifyError::Attribute(error)) => Err(error.into()),
            // The gateway's log has the reason and the id of the key.
            Err(IdentifyError::Rejected(_)) => Ok(self.refuse(self.rejected, KEY_REJECTED).into()),
        }
    }
}

/// Whether the client sent a user name that is neither the key's consumer nor its id. False for an unknown key.
fn is_of_another(presented: &Presented) -> bool {
    let Some(user) = &presented.user else {
        return false;
    };
    let found = keys::find(&presented.key);
    found.is_ok_and(|key| {
        let is_other = key.consumer != *user && key.id != *user;
        if is_other {
            let text = "a client presented a good key with the name of another user";
            log::write(log::Level::Info, text, &[("key", &key.id)]);
        }
        is_other
    })
}

impl ApiKeyFilter {
    fn identify_field(&self, name: &str) -> Result<RequestVerdict, Failure> {
        match keys::identify_field(name, self.hide) {
            Ok(()) => Ok(RequestVerdict::NEXT),
            Err(FieldError::Missing) => Ok(self.refuse(self.missing, KEY_MISSING).into()),
            // The gateway's log has the reason and the id of the key.
            Err(FieldError::Rejected(_)) => Ok(self.refuse(self.rejected, KEY_REJECTED).into()),
            Err(FieldError::Attribute(error) | FieldError::Edit(error)) => Err(error.into()),
        }
    }

    /// RFC 9110, section 15.5.2: a 401 carries a challenge, here one for each source.
    fn refuse(&self, status: u16, reason: &str) -> LocalResponse {
        let refusal = LocalResponse::new(status, reason);
        if status != 401 {
            return refusal;
        }
        self.places.iter().fold(refusal, |refusal, place| {
            refusal.header("www-authenticate", place.challenge())
        })
    }

    /// Remove the key from its source if `hide` is set, and remove the values of all other sources.
    fn hide_keys(&self, found: &Place, request: &mut Request) -> Result<(), EditError> {
        if !self.hide {
            found.keep_one(request)?;
        }
        let places = self.places.iter();
        for place in places.filter(|place| self.hide || !place.is_of_one_field(found)) {
            place.hide(request)?;
        }
        Ok(())
    }
}

impl Describe for ApiKeyFilter {
    fn contribution(&self) -> Contribution {
        let missing = json!({ "description": "there is no API key" });
        let rejected = json!({ "description": "the API key is not accepted" });
        let either = json!({ "description": "there is no API key, or it is not accepted" });
        let places = self.places.iter();
        let contribution = places.fold(Contribution::new(), |all, place| place.describe(all));
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
