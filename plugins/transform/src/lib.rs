//! `builtin:transform`: edits headers, query parameters, path, status and JSON bodies by templates.
//!
//! Edits are made in the order of the settings, each on the results of the earlier ones; edits that read or change the
//! body come after all others. The filter asks for a body only if an edit needs it, and the parts that no edit changes
//! stay byte for byte. Templates are parsed in `configure`, and errors point to them. If a template uses an absent
//! value, its edit is left out, as in API Gateway's parameter mappings; but a value that depends on an attribute or a
//! path parameter never falls back to the client's own. The filter deliberately does not edit bodies that are not JSON,
//! nor framing and hop-by-hop fields.

mod apply;
mod content;
mod exchange;
mod json;
mod operation;
mod program;
mod settings;
mod status;
mod template;

use apply::{Stop, apply};
use content::Content;
use core::sync::atomic::{AtomicBool, Ordering};
use exchange::{RequestEdits, ResponseEdits};
use json::{Document, Flaw};
use operation::{Edits, Operation};
use settings::{NotJson, OtherBodies, Settings};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{BodyMode, EditError};

const REFUSED: &str = "transform_refused";
const ABSENT: &str = "transform_attribute_absent";
const FAILED: &str = "transform_failed";
const NOT_JSON: &str = "body_not_json";
const ENCODED: &str = "body_encoded";
const UNSUPPORTED: &str = "unsupported_media_type";
const RESPONSE_NOT_JSON: &str = "response_not_json";

/// The name of the note that marks a request whose body, if one arrives, has an unsupported type.
const OTHER: &str = "other";

/// The name of the note with the original status of a response.
const STATUS: &str = "status";

/// The limit is the operator's `limits.body`.
const WHOLE: BodyMode = BodyMode::Whole(u64::MAX);

struct Transform {
    request: Edits,
    response: Edits,
    response_not_json: NotJson,
    other_bodies: OtherBodies,
}

impl Filter for Transform {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("transform");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let (request, response) = settings.operations()?;
        let requires = operation::required_attributes(request.iter().chain(&response));
        let mut setup = operation::advise(Setup::new().requires(requires), &request);
        if settings.other_bodies() == OtherBodies::Pass {
            setup = operation::advise_of_other_bodies(setup, &request);
        }
        let statuses = settings.statuses();
        if let Some(edits) = operation::constant_edits(&response, &statuses) {
            setup = edits.into_iter().fold(setup, Setup::edit_response);
            setup = setup.skips_on_response();
        }
        let transform = Self {
            request: Edits::new(request, Vec::new()),
            response: Edits::new(response, statuses),
            response_not_json: settings.response_not_json(),
            other_bodies: settings.other_bodies(),
        };
        Ok((transform, setup))
    }
}

impl Transform {
    /// The edits of the response that apply to its original status.
    fn edits_of_response<'o>(
        &'o self,
        edits: &'o [(usize, Operation)],
        status: Option<u16>,
    ) -> impl Iterator<Item = &'o (usize, Operation)> {
        let edits = edits.iter();
        edits.filter(move |(place, _)| self.response.are_for(*place, status))
    }
}

impl OnRequest for Transform {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        // Read before the edits, which may set the type for the upstream.
        let refuses_others = self.other_bodies == OtherBodies::Refuse;
        let content =
            (refuses_others || !self.request.body.is_empty()).then(|| Content::of(request));
        if content == Some(Content::Encoded) && !self.request.body.is_empty() {
            return Ok(LocalResponse::new(415, ENCODED).into());
        }
        let is_other = content == Some(Content::Other) && refuses_others;
        let brings_body = is_other.then(|| content::brings_body(request, &request.method()));
        if brings_body == Some(Some(true)) {
            return Ok(unsupported().into());
        }
        if let Some(answer) = edit_request(&self.request.head, request, None)? {
            return Ok(answer.into());
        }
        if !self.response.body.is_empty() {
            // Partial and compressed bodies cannot be edited.
            request.set_header("accept-encoding", "identity")?;
            request.remove_header("range")?;
        }
        if content == Some(Content::Json) && !self.request.body.is_empty() {
            return Ok(RequestVerdict::Next(WHOLE));
        }
        if brings_body == Some(None) {
            // The filter learns whether there is a body when it arrives.
            request.notes().set(OTHER, "")?;
            return Ok(RequestVerdict::Next(WHOLE));
        }
        let answer = edit_request(&self.request.body, request, None)?;
        Ok(answer.map_or(RequestVerdict::NEXT, RequestVerdict::Respond))
    }
}

impl OnRequestBody for Transform {
    fn on_request_body(
        &self,
        request: &mut Request,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure> {
        let is_other =
            self.other_bodies == OtherBodies::Refuse && request.notes().get(OTHER).is_some();
        if is_other && !piece.is_empty() {
            return Ok(unsupported().into());
        }
        let bytes = piece.read_all();
        let mut body = match document(&bytes) {
            Ok(body) => body,
            Err(flaw) => return Ok(not_json(400, NOT_JSON, flaw).into()),
        };
        if let Some(answer) = edit_request(&self.request.body, request, body.as_mut())? {
            return Ok(answer.into());
        }
        let replaced = replace(piece, body);
        replaced.map_or_else(
            |error| match error {
                EditError::TooLarge => Ok(LocalResponse::new(413, "body_too_large").into()),
                EditError::Syntax | EditError::Forbidden | EditError::TooLate => Err(error.into()),
            },
            |()| Ok(ChunkVerdict::Next),
        )
    }
}

impl OnResponse for Transform {
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        let status = if self.response.ask_for_status() {
            response.status()
        } else {
            None
        };
        let mut body = self.edits_of_response(&self.response.body, status);
        let content = body.next().map(|_| Content::of(response));
        if content == Some(Content::Encoded) && self.response_not_json == NotJson::Refuse {
            return Ok(LocalResponse::new(502, RESPONSE_NOT_JSON).into());
        }
        if let Some(answer) = edit_response(
            self.edits_of_response(&self.response.head, status),
            response,
            None,
        )? {
            return Ok(answer.into());
        }
        if content == Some(Content::Json) {
            if let Some(status) = status {
                // The edits of the head may have set another status.
                response.notes().set(STATUS, status.to_string())?;
            }
            return Ok(ResponseVerdict::Next(WHOLE));
        }
        let body = self.edits_of_response(&self.response.body, status);
        let answer = edit_response(body, response, None)?;
        Ok(answer.map_or(ResponseVerdict::NEXT, ResponseVerdict::Replace))
    }
}

impl OnResponseBody for Transform {
    fn on_response_body(
        &self,
        response: &mut Response,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure> {
        let bytes = piece.read_all();
        let status = if self.response.ask_for_status() {
            let note = response.notes().get(STATUS);
            note.and_then(|status| core::str::from_utf8(&status).ok()?.parse().ok())
        } else {
            None
        };
        let edits = self.edits_of_response(&self.response.body, status);
        let mut body = match (document(&bytes), self.response_not_json) {
            (Ok(body), _) => body,
            (Err(_), NotJson::Pass) => None,
            (Err(flaw), NotJson::Refuse) => {
                return Ok(not_json(502, RESPONSE_NOT_JSON, flaw).into());
            }
        };
        if let Some(answer) = edit_response(edits, response, body.as_mut())? {
            return Ok(answer.into());
        }
        replace(piece, body).map_or_else(
            |error| match error {
                EditError::TooLarge => {
                    Ok(LocalResponse::new(502, "response_body_too_large").into())
                }
                EditError::Syntax | EditError::Forbidden | EditError::TooLate => Err(error.into()),
            },
            |()| Ok(ChunkVerdict::Next),
        )
    }
}

/// The refusal of a body with an unsupported type (RFC 9110, section 15.5.16).
#[cold]
fn unsupported() -> LocalResponse {
    LocalResponse::new(415, UNSUPPORTED).header("accept", "application/json")
}

/// Parses a body; `None` if it is empty.
fn document(bytes: &[u8]) -> Result<Option<Document<'_>>, Flaw> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Document::parse(bytes).map(Some)
}

/// Replaces the body if an edit changed it.
fn replace(piece: &mut Piece, body: Option<Document<'_>>) -> Result<(), EditError> {
    match body.and_then(Document::into_changed) {
        Some(text) => piece.replace(text),
        None => Ok(()),
    }
}

/// Makes edits of the request. Returns the refusal, if one of them fails.
fn edit_request<'o>(
    edits: impl IntoIterator<Item = &'o (usize, Operation)>,
    request: &mut Request,
    body: Option<&mut Document<'o>>,
) -> Result<Option<LocalResponse>, Failure> {
    match apply(edits, &mut RequestEdits(request), body) {
        Ok(()) => Ok(None),
        Err(Stop::Value { place }) => Ok(Some(refusal(400, "request", place))),
        Err(Stop::Absent { place }) => Ok(Some(absent("request", place))),
        Err(Stop::Edit { place, error }) => Err(failure("request", place, error)),
        Err(Stop::Body(flaw)) => Ok(Some(not_json(400, NOT_JSON, flaw))),
        Err(Stop::Unfit { place, why }) => Ok(Some(unfit(400, "request", place, &why))),
        Err(Stop::Template { place, why }) => Ok(Some(wrong_template("request", place, &why))),
    }
}

/// The same for the response.
fn edit_response<'o>(
    edits: impl IntoIterator<Item = &'o (usize, Operation)>,
    response: &mut Response,
    body: Option<&mut Document<'o>>,
) -> Result<Option<LocalResponse>, Failure> {
    // An unfit value comes from the client, or from the upstream's body.
    let status = if body.is_some() { 502 } else { 400 };
    match apply(edits, &mut ResponseEdits(response), body) {
        Ok(()) => Ok(None),
        Err(Stop::Value { place }) => Ok(Some(refusal(status, "response", place))),
        Err(Stop::Absent { place }) => Ok(Some(absent("response", place))),
        Err(Stop::Edit { place, error }) => Err(failure("response", place, error)),
        Err(Stop::Body(flaw)) => Ok(Some(not_json(502, RESPONSE_NOT_JSON, flaw))),
        Err(Stop::Unfit { place, why }) => Ok(Some(unfit(502, "response", place, &why))),
        Err(Stop::Template { place, why }) => Ok(Some(wrong_template("response", place, &why))),
    }
}

#[cold]
fn not_json(status: u16, reason: &'static str, flaw: Flaw) -> LocalResponse {
    let why = flaw.to_string();
    host::log::debug("a body cannot be edited", &[("why", &why)]);
    LocalResponse::new(status, reason)
}

/// A value of the client or of a body does not fit. Operators need no log line above debug for this.
#[cold]
fn refusal(status: u16, side: &str, place: usize) -> LocalResponse {
    host::log::debug(
        "a value does not fit where the edit puts it",
        &[("edit", &format!("/{side}/{place}"))],
    );
    LocalResponse::new(status, REFUSED)
}

/// The new path needs an attribute that this request does not have.
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

/// A template makes invalid JSON from this body. This is not a [`Failure`]: the body decides which way through the
/// template is taken, and its sender must not be able to get the filter suspended.
#[cold]
fn wrong_template(side: &str, place: usize, why: &str) -> LocalResponse {
    static WAS_TOLD: AtomicBool = AtomicBool::new(false);
    let level = match WAS_TOLD.swap(true, Ordering::Relaxed) {
        false => host::log::Level::Warn,
        true => host::log::Level::Debug,
    };
    let edit = format!("/{side}/{place}");
    let message = "a template makes no JSON of a body, so the request was refused";
    host::log::write(level, message, &[("edit", &edit), ("why", why)]);
    LocalResponse::new(500, FAILED)
}

/// A body does not fit the template that transforms it.
#[cold]
fn unfit(status: u16, side: &str, place: usize, why: &str) -> LocalResponse {
    host::log::debug(
        "a body does not fit its template",
        &[("edit", &format!("/{side}/{place}")), ("why", why)],
    );
    LocalResponse::new(status, REFUSED)
}

windlass_plugin_sdk::export!(Transform: request, request_body, response, response_body);

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
