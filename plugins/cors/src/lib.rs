//! `builtin:cors`: says which web pages may read answers, and answers preflights.
//!
//! Promises: every answer that passes here says what the policy says and nothing that the endpoint
//! said of it, answers of the gateway and refusals of later filters too; what depends on the origin
//! says so in `vary`, also to clients that sent none. Deliberately does not: refuse a request for its
//! origin. A browser does that, and any other client can send whatever origin it likes.

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
        // All in one call: without `origin` the others are hardly ever there.
        let [origin, method, headers] = request.header_many([
            "origin",
            "access-control-request-method",
            "access-control-request-headers",
        ]);
        let Some(origin) = origin else {
            return Ok(RequestVerdict::NEXT);
        };
        // One that is no text is no browser's: it is the origin of nobody.
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
