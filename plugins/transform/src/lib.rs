//! `builtin:transform`: edits headers, query parameters, path and status by templates.
//!
//! Promises: the edits are made in the order of the file, each on what the ones before it left;
//! every template is read when the configuration is, and a complaint points to its place; an
//! edit whose template names something absent is left out, as API Gateway does with its
//! parameter mappings. Deliberately does not: touch a body, decide who may pass, or edit framing
//! and hop-by-hop fields.

mod apply;
mod exchange;
mod operation;
mod settings;
mod template;

use apply::{Stop, apply};
use exchange::{RequestEdits, ResponseEdits};
use operation::Operation;
use settings::Settings;
use windlass_plugin_sdk::prelude::*;

const REFUSED: &str = "transform_refused";
const FAILED: &str = "transform_failed";

struct Transform {
    request: Vec<Operation>,
    response: Vec<Operation>,
}

impl Filter for Transform {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("transform");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let (request, response) = settings.operations()?;
        let requires = operation::required_attributes(request.iter().chain(&response));
        let setup = Setup::new().requires(requires);
        Ok((Self { request, response }, setup))
    }
}

impl OnRequest for Transform {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        match apply(&self.request, &mut RequestEdits(request)) {
            Ok(()) => Ok(RequestVerdict::NEXT),
            // What the client sent does not fit: its fault, and nothing has gone upstream.
            Err(Stop::Value { .. }) => Ok(LocalResponse::new(400, REFUSED).into()),
            Err(stop @ Stop::Edit { .. }) => Err(failure("request", &stop)),
        }
    }
}

impl OnResponse for Transform {
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        match apply(&self.response, &mut ResponseEdits(response)) {
            Ok(()) => Ok(ResponseVerdict::NEXT),
            Err(stop) => Err(failure("response", &stop)),
        }
    }
}

#[cold]
fn failure(side: &str, stop: &Stop) -> Failure {
    let (place, why) = match stop {
        Stop::Value { place } => (place, "the value is not legal there".to_owned()),
        Stop::Edit { place, error } => (place, Failure::from(*error).detail.into_owned()),
    };
    Failure::new(FAILED, format!("`/{side}/{place}`: {why}"))
}

windlass_plugin_sdk::export!(Transform: request, response);

#[cfg(test)]
mod tests {
    use windlass_plugin_sdk::EditError;

    use super::*;

    #[test]
    fn a_failure_names_the_operation() {
        let stop = Stop::Edit {
            place: 2,
            error: EditError::Forbidden,
        };
        assert_eq!(
            failure("response", &stop).to_string(),
            "transform_failed: `/response/2`: the gateway refused an edit: reserved to the \
             gateway, or not granted"
        );
    }
}
