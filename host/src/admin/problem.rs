//! Errors of the admin API: RFC 9457 problem details with stable codes.
//!
//! An operation answers with an [`ApiProblem`]; [`super::envelope`] writes its body, because it
//! has the request's id. No text holds a secret or a key.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::control::service::{CsvWarning, ImportError, ImportReport, ServiceError};
use crate::shared_store::StorageError;

/// An error of the admin API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiProblem {
    pub(crate) status: StatusCode,
    /// The stable code.
    pub(crate) code: &'static str,
    /// A sentence that names the cure.
    pub(crate) detail: String,
    /// The invalid fields: the name of each, and a sentence.
    pub(crate) errors: Vec<(String, String)>,
    /// Additional members of the body.
    pub(crate) more: Vec<(&'static str, Value)>,
    /// When to try again. Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl ApiProblem {
    #[must_use]
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            more: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds the time after which to try again. Seconds.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The request is not valid.
    #[must_use]
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// One field of the request is not valid.
    #[must_use]
    pub(crate) fn invalid_field(field: &str, message: &str) -> Self {
        let mut problem = Self::invalid(format!("`{field}` {message}"));
        problem.errors.push((field.to_owned(), message.to_owned()));
        problem
    }

    /// One field of the request contradicts another.
    #[must_use]
    pub(crate) fn unprocessable(field: &str, message: &str) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "senseless",
            ..Self::invalid_field(field, message)
        }
    }

    /// The request has no `Host`, more than one, or an invalid one.
    #[must_use]
    pub(crate) fn bad_host() -> Self {
        let detail = "the request must name exactly one valid host; send one `host`";
        Self::new(StatusCode::BAD_REQUEST, "bad_host", detail)
    }

    /// The path does not exist.
    #[must_use]
    pub(crate) fn no_such_path() -> Self {
        let detail = "there is nothing at this path; /v1/openapi.json describes what there is";
        Self::new(StatusCode::NOT_FOUND, "no_such_path", detail)
    }

    /// The body, for the request with this id.
    #[must_use]
    pub(crate) fn body(&self, request: &str) -> String {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request-id": request,
        });
        if let Some(members) = body.as_object_mut() {
            if !self.errors.is_empty() {
                let errors = self.errors.iter();
                let errors =
                    errors.map(|(field, message)| json!({ "field": field, "message": message }));
                members.insert("errors".to_owned(), errors.collect());
            }
            for (name, value) in &self.more {
                members.insert((*name).to_owned(), value.clone());
            }
        }
        format!("{body}\n")
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for ApiProblem {
    fn from(error: ServiceError) -> Self {
        use ServiceError as E;
        let detail = error.to_string();
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, &*detail);
        match error {
            E::Invalid(faults) => {
                let mut problem = Self::invalid(detail);
                let faults = faults.into_iter();
                problem.errors = faults.map(|fault| (fault.field, fault.message)).collect();
                problem
            }
            E::Inconsistent(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "senseless", detail),
            E::NoKey(_) => Self::new(StatusCode::NOT_FOUND, "no_such_key", detail),
            E::NoPlan(_) => Self::new(StatusCode::NOT_FOUND, "no_such_plan", detail),
            E::NotOnPlan { .. } => Self::new(StatusCode::NOT_FOUND, "not_on_plan", detail),
            E::UnknownPlan(_) => conflict("no_such_plan"),
            E::InConfiguration { .. } => conflict("defined_in_configuration"),
            E::PlanExists(_) => conflict("plan_exists"),
            E::KeyExists(_) => conflict("key_exists"),
            E::PlanInUse { .. } => conflict("plan_in_use"),
            E::Overlap { .. } => conflict("plans_overlap"),
            E::RotationActive(_) => conflict("rotation_running"),
            E::CreatedKeyDeleted(_) => conflict("key_deleted"),
            E::NoRate(_) => conflict("no_rate"),
            E::NoQuota(_) => conflict("no_quota"),
            E::TooManyConflicts(..) => conflict("contended"),
            E::Changed { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "changed", detail),
            E::IdempotencyMismatch => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_mismatch",
                detail,
            ),
            E::Storage(error) => error.into(),
            E::Randomness(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "no_randomness", detail)
            }
        }
    }
}

impl From<StorageError> for ApiProblem {
    fn from(error: StorageError) -> Self {
        let (status, code) = match &error {
            StorageError::Unreachable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
            StorageError::Failed { .. } | StorageError::Corrupt { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "store_failed")
            }
        };
        tracing::error!(
            "an admin API call failed: {error}; check that the storage can be reached and written"
        );
        let detail = "the storage failed; the gateway's log has the cause";
        Self::new(status, code, detail)
    }
}

impl From<ImportError> for ApiProblem {
    fn from(error: ImportError) -> Self {
        let detail = error.to_string();
        match error {
            ImportError::Unreadable(warning) => {
                let mut problem = Self::new(StatusCode::BAD_REQUEST, "bad_file", detail);
                let report = ImportReport {
                    warnings: vec![warning],
                    ..ImportReport::default()
                };
                problem.more.push(("warnings", warnings(&report.warnings)));
                problem
            }
            ImportError::Warnings(report) => {
                let mut problem = Self::new(StatusCode::BAD_REQUEST, "rows_wrong", detail);
                problem.more.push(("warnings", warnings(&report.warnings)));
                problem
            }
            ImportError::Service { error, done } => {
                let mut problem = Self::from(error);
                if done > 0 {
                    problem.detail =
                        format!("{}; {done} keys were imported before", problem.detail);
                }
                problem
            }
        }
    }
}

fn warnings(warnings: &[CsvWarning]) -> Value {
    let each = warnings.iter().map(|warning| {
        json!({ "line": warning.line, "column": warning.column, "message": warning.message })
    });
    each.collect()
}
