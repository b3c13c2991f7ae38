//! `builtin:transform`: edits headers, query parameters, path and status by templates.
//!
//! Promises: the edits are made in the order of the file, each on what the ones before it left;
//! every template is read when the configuration is, and a complaint points to its place; an
//! edit whose template names something absent is left out, as API Gateway does with its
//! parameter mappings, but a field that is set from what the gateway knows never holds what the
//! client sent. Deliberately does not: touch a body, or edit framing and hop-by-hop fields.

mod apply;
mod exchange;
mod operation;
mod settings;
mod template;

use apply::{Stop, apply};
use exchange::{RequestEdits, ResponseEdits};
use operation::Operation;
use settings::Settings;
use windlass_plugin_sdk::EditError;
use windlass_plugin_sdk::prelude::*;

const REFUSED: &str = "transform_refused";
const ABSENT: &str = "transform_attribute_absent";
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
        let setup = operation::advise(Setup::new().requires(requires), &request);
        Ok((Self { request, response }, setup))
    }
}

impl OnRequest for Transform {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        match apply(&self.request, &mut RequestEdits(request)) {
            Ok(()) => Ok(RequestVerdict::NEXT),
            Err(Stop::Value { place }) => Ok(refusal("request", place).into()),
            Err(Stop::Absent { place }) => Ok(absent("request", place).into()),
            Err(Stop::Edit { place, error }) => Err(failure("request", place, error)),
        }
    }
}

impl OnResponse for Transform {
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        match apply(&self.response, &mut ResponseEdits(response)) {
            Ok(()) => Ok(ResponseVerdict::NEXT),
            Err(Stop::Value { place }) => Ok(refusal("response", place).into()),
            Err(Stop::Absent { place }) => Ok(absent("response", place).into()),
            Err(Stop::Edit { place, error }) => Err(failure("response", place, error)),
        }
    }
}

/// What the client sent does not fit: its fault, and nothing for the log of those who run the
/// gateway.
#[cold]
fn refusal(side: &str, place: usize) -> LocalResponse {
    host::log::debug(
        "a value of the request does not fit where the edit puts it",
        &[("edit", &format!("/{side}/{place}"))],
    );
    LocalResponse::new(400, REFUSED)
}

/// The gateway does not know of this client what the path is made of.
#[cold]
fn absent(side: &str, place: usize) -> LocalResponse {
    host::log::debug(
        "the path names an attribute that the request does not have",
        &[("edit", &format!("/{side}/{place}"))],
    );
    LocalResponse::new(403, ABSENT)
}

#[cold]
fn failure(side: &str, place: usize, error: EditError) -> Failure {
    let why = Failure::from(error).detail;
    Failure::new(FAILED, format!("`/{side}/{place}`: {why}"))
}

windlass_plugin_sdk::export!(Transform: request, response);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_operation() {
        assert_eq!(
            failure("response", 2, EditError::Forbidden).to_string(),
            "transform_failed: `/response/2`: the gateway refused an edit: reserved to the \
             gateway, or not granted"
        );
    }
}
