//! `builtin:cors`: controls which web pages may read responses, and answers preflights.
//!
//! Every response that passes this filter has the fields of its policy and none of the endpoint's;
//! this includes errors of the gateway and refusals of later filters. Responses that depend on the
//! origin have it in `vary`, even if the client sent no origin. The filter deliberately refuses no
//! request for its origin: browsers do that, and any other client can send any origin.

mod origin;
mod policy;
mod settings;

use policy::Policy;
use settings::Settings;
use windlass_plugin_sdk::prelude::*;

struct Cors {
    policy: Policy,
}

impl Filter for Cors {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("cors");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let checked = settings.check()?;
        let setup = checked
            .warnings
            .into_iter()
            .fold(Setup::new().answers_preflights(), |setup, (at, message)| {
                setup.warn(at, message)
            });
        let policy = checked.policy;
        let setup = policy
            .edits_of_all()
            .into_iter()
            .fold(setup, Setup::edit_response);
        Ok((Self { policy }, setup))
    }
}

impl OnRequest for Cors {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        // One call for all of them, because requests without `origin` rarely have the others.
        let [origin, method, headers] = request.header_many([
            "origin",
            "access-control-request-method",
            "access-control-request-headers",
        ]);
        let Some(origin) = origin else {
            return Ok(RequestVerdict::NEXT);
        };
        // A browser never sends an origin that is not text, so it counts as an unknown origin.
        let origin = std::str::from_utf8(&origin).unwrap_or_default();
        if let Some(method) = method
            && request.method() == "OPTIONS"
        {
            let method = std::str::from_utf8(&method).unwrap_or_default();
            let headers = headers
                .as_deref()
                .and_then(|asked| std::str::from_utf8(asked).ok());
            return Ok(self.policy.preflight(origin, method, headers).into());
        }
        if !self.policy.origins.is_any() && self.policy.origins.allow(origin) {
            request.edit_response(&self.policy.edits(origin))?;
        }
        Ok(RequestVerdict::NEXT)
    }
}

windlass_plugin_sdk::export!(Cors: request);
