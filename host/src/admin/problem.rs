//! Errors of the admin API: RFC 9457 problem details with stable codes.
//!
//! An operation answers with an [`ApiProblem`]; [`super::envelope`] writes its body, because it
//! has the request's id. No text holds a secret or a key.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::control::service::{CsvWarning, ImportError, InvalidField, ServiceError};
use crate::shared_store::StorageError;

/// An error of a request. RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`.
    r#type: &'static str,
    /// The status's phrase.
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// A sentence with the cure.
    detail: String,
    /// The stable code.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// The request's id, also in `x-request-id`.
    #[serde(rename = "request-id")]
    request_id: String,
    /// The errors of single fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<InvalidField>,
    /// Of an import: the errors of single rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<CsvWarning>,
}

/// An error of the admin API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiProblem {
    pub(crate) status: StatusCode,
    /// The stable code.
    pub(crate) code: &'static str,
    /// A sentence that names the cure.
    pub(crate) detail: String,
    /// The errors of single fields.
    pub(crate) errors: Vec<InvalidField>,
    /// Of an import: the errors of single rows.
    pub(crate) warnings: Vec<CsvWarning>,
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
            warnings: Vec::new(),
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
        problem.errors.push(InvalidField::new(field, message));
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
        let body = json!(ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            request_id: request.to_owned(),
            errors: self.errors.clone(),
            warnings: self.warnings.clone(),
        });
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
                problem.errors = faults;
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
            ImportError::Unreadable(warning) => Self {
                warnings: vec![warning],
                ..Self::new(StatusCode::BAD_REQUEST, "bad_file", detail)
            },
            ImportError::Warnings(report) => Self {
                warnings: report.warnings,
                ..Self::new(StatusCode::BAD_REQUEST, "rows_wrong", detail)
            },
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
