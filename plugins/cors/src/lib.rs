//! `builtin:cors`: says which web pages may read answers, and answers preflights.
//!
//! Promises: every answer that passes here says what the policy says and nothing that the endpoint
//! said of it, answers of the gateway and refusals of later filters too; what depends on the origin
//! says so in `vary`, also to clients that sent none. Deliberately does not: refuse a request for its
//! origin. A browser does that, and any other client can send whatever origin it likes.

mod origin;
mod policy;
mod settings;

use policy::{FIELDS_TO_READ, Policy, VARY, varies_by_origin};
use settings::Settings;
use windlass_plugin_sdk::EditError;
use windlass_plugin_sdk::prelude::*;

/// The note of an exchange whose client may read the answer: its origin. Later filters may edit the
/// request.
const ORIGIN: &str = "origin";

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
            request.notes().set(ORIGIN, origin)?;
        }
        Ok(RequestVerdict::NEXT)
    }
}

impl OnResponse for Cors {
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        let there = response.header_many(FIELDS_TO_READ);
        let mut varies = false;
        for (name, value) in FIELDS_TO_READ.iter().zip(there) {
            match (*name, value) {
                (_, None) => {}
                (VARY, Some(_)) => varies = true,
                (name, Some(_)) => {
                    response.remove_header(name)?;
                }
            }
        }
        if self.policy.origins.is_any() {
            set(response, &self.policy.fields("*"))?;
            return Ok(ResponseVerdict::NEXT);
        }
        let origin = response.notes().get(ORIGIN);
        let origin = origin.as_deref().map(std::str::from_utf8);
        let mut fields = match origin {
            Some(origin) => self.policy.fields(origin.unwrap_or_default()),
            None => Vec::new(),
        };
        match varies {
            false => fields.push((VARY, "Origin")),
            true if varies_by_origin(&response.header_all(VARY)) => {}
            true => response.append_header(VARY, "Origin")?,
        }
        if !fields.is_empty() {
            set(response, &fields)?;
        }
        Ok(ResponseVerdict::NEXT)
    }
}

/// All of them in one crossing.
fn set(response: &mut Response, fields: &[(&str, &str)]) -> Result<(), EditError> {
    let fields = fields.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    response.set_headers(&fields)
}

windlass_plugin_sdk::export!(Cors: request, response);
