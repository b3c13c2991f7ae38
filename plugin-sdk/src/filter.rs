//! The traits of a filter: [`Filter`], and one for each phase.
//!
//! A filter implements [`Filter`] and the phases that it needs, and names the same phases in its
//! [`export!`](crate::export!) line. Methods take `&self`: an instance runs one phase of one exchange at a time, but
//! serves many exchanges one after the other, and several instances exist at once. Keep state of one exchange in
//! [`Notes`](crate::Notes). Keep state that all instances share in [`host::cache`](crate::host::cache) or
//! [`host::limits`](crate::host::limits).

use core::fmt;
use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::{
    ChunkVerdict, Contribution, Diagnostic, EditError, Piece, Request, RequestVerdict, Response,
    ResponseVerdict, Setup,
};

/// The part that every filter has: its settings, and how to make a filter from them.
pub trait Filter: Sized + 'static {
    /// The operator's `settings` table. Put `#[serde(deny_unknown_fields)]` on it: a misspelt setting must be an error,
    /// and only serde can find it.
    type Settings: DeserializeOwned;

    /// The name of the plugin. The default is the name of its Cargo package.
    const NAME: Option<&'static str> = None;

    /// The version of the plugin. The default is the version of its Cargo package.
    const VERSION: Option<&'static str> = None;

    /// A one-line summary, which `windlass check` prints. The default is the description of its Cargo package.
    const SUMMARY: Option<&'static str> = None;

    /// JSON Schema (2020-12) of the settings, as text, for editors and the reference. A file that a test compares with
    /// the settings (`include_str!`) makes a smaller component than a schema made at run time.
    const SETTINGS_SCHEMA: Option<&'static str> = None;

    /// Makes the filter. The gateway calls this once in each instance, before any phase, and in `windlass check`.
    /// Report all errors at once: each [`Diagnostic`] points to the setting that it is about.
    ///
    /// Do everything here that can be done before the first request: parse, precompute, lower the case of names. Of the
    /// host interfaces, only [`host::log`](crate::host::log), [`host::documents`](crate::host::documents),
    /// [`rates::define`](crate::host::rates::define) and [`Check::define`](crate::host::jwt::Check::define) may be
    /// called. Nothing may depend on the time or on a random number, because the gateway may keep a snapshot of the
    /// configured instance.
    ///
    /// # Errors
    /// The errors in the settings. They must not contain secrets.
    fn configure(settings: Self::Settings) -> Result<(Self, Setup), Vec<Diagnostic>>;
}

/// The export `description`: the filter's addition to the description of the APIs that use it.
pub trait Describe: Filter {
    /// Returns the addition. Called once, after the filter was configured.
    fn contribution(&self) -> Contribution;
}

/// The phase `request`: the head of the request has arrived, and nothing was sent upstream yet.
pub trait OnRequest: Filter {
    /// Decides about the request.
    ///
    /// # Errors
    /// The filter could not do its work; its `on_error` decides which response the client gets. A denial is not an
    /// error, but the verdict `Respond`.
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure>;
}

/// The phase `request_body`: runs if the verdict on the request asked for the body.
pub trait OnRequestBody: Filter {
    /// Decides about a chunk of the body, or about the whole body. The head can be edited if the verdict asked for the
    /// whole body.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_request_body(
        &self,
        request: &mut Request,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure>;
}

/// The phase `response`: the head of the response is there, and nothing was sent to the client yet.
pub trait OnResponse: Filter {
    /// Decides about the response. It comes from the upstream, from a refusal by a later filter, or from an error of
    /// the gateway.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure>;
}

/// The phase `response_body`: runs if the verdict on the response asked for the body.
pub trait OnResponseBody: Filter {
    /// Decides as [`OnRequestBody::on_request_body`] does.
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
    /// Reads the result of the exchange. It cannot change anything; the result is in attributes (`outcome.status`,
    /// `outcome.duration-us`, ...).
    fn on_log(&self, request: &Request, response: &Response);
}

/// A filter could not do its work. `?` turns any edit error into one.
///
/// It counts as a failure like a panic, in every language. The gateway discards the edits of the phase, and logs the
/// reason and the detail. The filter's `on_error` decides which response the client gets (500 `filter_failed`, or the
/// request goes on without the filter), and its breaker counts the failure. The instance stays in use. If the client's
/// input is the cause, respond with a status of 400 or more instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short stable word in `snake_case`.
    pub reason: Cow<'static, str>,
    /// The cause: lower case, no period, no secret.
    pub detail: Cow<'static, str>,
}

impl Failure {
    /// A failure with this reason.
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
