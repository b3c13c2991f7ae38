//! The traits of a filter: [`Filter`], and one for each phase.
//!
//! A filter implements [`Filter`] and the phases that it has, and names the same phases in its
//! [`export!`](crate::export) line. Methods take `&self`: an instance runs one phase of one
//! exchange at a time, but many exchanges one after the other, and several instances live at
//! once. State that belongs to one exchange goes into [`Notes`](crate::Notes); state that all
//! instances share goes into [`host::cache`](crate::host::cache) or
//! [`host::limits`](crate::host::limits).

use core::fmt;
use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::{
    ChunkVerdict, Contribution, Diagnostic, EditError, Piece, Request, RequestVerdict, Response,
    ResponseVerdict, Setup,
};

/// What every filter has: its settings, and how it comes to be from them.
pub trait Filter: Sized + 'static {
    /// The operator's `settings` table. Put `#[serde(deny_unknown_fields)]` on it: a misspelt
    /// setting must be an error, and only serde can see it.
    type Settings: DeserializeOwned;

    /// The plugin's name. By default the name of its Cargo package.
    const NAME: Option<&'static str> = None;

    /// The plugin's version. By default the version of its Cargo package.
    const VERSION: Option<&'static str> = None;

    /// One line for people, shown by `windlass check`. By default the description of its Cargo
    /// package.
    const SUMMARY: Option<&'static str> = None;

    /// JSON Schema (2020-12) of the settings, as text, for editors and the reference. A file
    /// that a test keeps in step (`include_str!`) costs the component less than a schema made
    /// at run time.
    const SETTINGS_SCHEMA: Option<&'static str> = None;

    /// Makes the filter. Called once in each instance, before any phase, and by
    /// `windlass check`. Complain about everything at once: each [`Diagnostic`] points to the
    /// setting that it is about.
    ///
    /// Do here whatever can be done before the first request: parse, precompute, lower the case
    /// of names. No host interface but [`host::log`](crate::host::log) may be called, and
    /// nothing may depend on the time or on a random number: the gateway may keep a snapshot of
    /// the configured instance.
    ///
    /// # Errors
    /// The complaints about the settings. None of them may be a secret.
    fn configure(settings: Self::Settings) -> Result<(Self, Setup), Vec<Diagnostic>>;
}

/// The export `description`: what the filter adds to the description of the APIs that it stands before.
pub trait Describe: Filter {
    /// Tells it, once, after the filter was configured.
    fn contribution(&self) -> Contribution;
}

/// The phase `request`: the request's head has arrived, nothing of it has gone upstream.
pub trait OnRequest: Filter {
    /// Decides what becomes of the request.
    ///
    /// # Errors
    /// When the filter cannot do its work: its `on_error` decides what the client gets. A denial is
    /// no error, but the verdict `Respond`.
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure>;
}

/// The phase `request_body`: runs when the request's verdict asked for the body.
pub trait OnRequestBody: Filter {
    /// Decides what becomes of a piece of the body, or of the whole of it. The head is editable
    /// where the body was asked for as a whole.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_request_body(
        &self,
        request: &mut Request,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure>;
}

/// The phase `response`: the response's head is there, nothing of it has gone to the client.
pub trait OnResponse: Filter {
    /// Decides what becomes of the response: the upstream's, or that of a refusal by a later
    /// filter, or an error made by the gateway.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure>;
}

/// The phase `response_body`: runs when the response's verdict asked for the body.
pub trait OnResponseBody: Filter {
    /// As [`OnRequestBody::on_request_body`].
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_response_body(
        &self,
        response: &mut Response,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure>;
}

/// The phase `log`: after the exchange.
pub trait OnLog: Filter {
    /// Looks at what happened. Nothing can be changed any more; the outcome is read as
    /// attributes (`outcome.status`, `outcome.duration-us`, ...).
    fn on_log(&self, request: &Request, response: &Response);
}

/// A filter could not do its work. Any edit error becomes one with `?`.
///
/// It is a failure as a panic is one, in every language: the phase has edited nothing, the
/// gateway's log gets the reason and the detail, the filter's `on_error` decides what the client
/// gets (500 `filter_failed`, or the request goes on without the filter), and its breaker counts
/// it. The instance lives on. Where what a client sent is the cause, answer with a status of 400
/// or more instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short stable word in `snake_case`.
    pub reason: Cow<'static, str>,
    /// What went wrong: lower case, no period, no secret.
    pub detail: Cow<'static, str>,
}

impl Failure {
    /// A failure with its own reason.
    pub fn new(reason: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            detail: detail.into(),
        }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::new(
            "filter_failed",
            match error {
                EditError::Syntax => {
                    "the gateway refused an edit: not a legal name, value, path or status"
                }
                EditError::Forbidden => {
                    "the gateway refused an edit: reserved to the gateway, or not granted"
                }
                EditError::TooLate => {
                    "the gateway refused an edit: the head has been sent, or this phase may not edit it"
                }
                EditError::TooLarge => {
                    "the gateway refused an edit: the head, the attributes or the notes are at their limit"
                }
            },
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Failure {}
