//! Errors of the key and plan service.
//!
//! A text never repeats what may be a key: names from the request are [`masked`].

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::storage::{CommitError, Conflict};
use crate::keys::{RandomnessError, masked};
use crate::limits::PlanError;
use crate::shared_store::StorageError;

/// An error of one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemPart)]
pub(crate) struct InvalidField {
    /// The field, as a path of names.
    pub(crate) field: String,
    // Never holds a key's text.
    /// The error.
    pub(crate) message: String,
}

impl InvalidField {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Collects the invalid fields of a request.
#[derive(Debug, Default)]
pub(super) struct InvalidFields(Vec<InvalidField>);

impl InvalidFields {
    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(InvalidField::new(field, message));
    }

    /// Adds the field if its check has failed.
    pub(super) fn check(&mut self, field: impl Into<String>, result: Result<(), String>) {
        if let Err(message) = result {
            self.add(field, message);
        }
    }

    /// Fails if a field is invalid.
    pub(super) fn finish(self) -> Result<(), ServiceError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(ServiceError::Invalid(self.0)),
        }
    }
}

/// Why a call fails. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Some fields are invalid.
    #[error("{}", faults(.0))]
    Invalid(Vec<InvalidField>),
    /// The fields are valid, but contradict each other.
    #[error("{0}")]
    Inconsistent(String),
    #[error("there is no key `{}`", masked(.0))]
    NoKey(String),
    #[error("there is no plan `{}`", masked(.0))]
    NoPlan(String),
    /// A key is to be put on a plan that does not exist.
    #[error("plan `{}` does not exist; create it first, or leave it out", masked(.0))]
    UnknownPlan(String),
    /// The configuration defines it.
    #[error("{kind} `{}` is defined in the configuration; change it there and reload", masked(.name))]
    InConfiguration {
        /// `key` or `plan`.
        kind: &'static str,
        name: String,
    },
    /// A plan of that name exists.
    #[error("plan `{}` exists already; choose another name, or update it", masked(.0))]
    PlanExists(String),
    /// Another key has the same text.
    #[error("key `{}` has this value already; a value belongs to one key", masked(.0))]
    KeyExists(String),
    /// Keys are on the plan.
    #[error("plan `{}` is in use, for example by key `{}`; remove its keys from it first", masked(.plan), masked(.key))]
    PlanInUse {
        plan: String,
        /// One of the keys.
        key: String,
    },
    /// Two plans of one key are for one API.
    #[error("plans `{}` and `{}` are both for {}; a key has one plan for each API", masked(.first), masked(.second), shared(.api.as_deref()))]
    Overlap {
        /// The first plan.
        first: String,
        /// The second plan.
        second: String,
        /// An API that both plans are for; None: all.
        api: Option<String>,
    },
    /// A rotation is in progress.
    #[error(
        "key `{}` has two valid secrets already; wait until the older one ends, or send an overlap of 0 to end both now", masked(.0)
    )]
    RotationActive(String),
    /// The plan has no rate whose part could be changed.
    #[error("plan `{}` has no rate yet; send `rate.per_second` as well", masked(.0))]
    NoRate(String),
    /// The plan has no quota.
    #[error("plan `{}` has no quota that could be extended", masked(.0))]
    NoQuota(String),
    /// The key is not on the plan.
    #[error("key `{}` is not on plan `{}`", masked(.key), masked(.plan))]
    NotOnPlan { key: String, plan: String },
    /// It is not at the revision that the caller named.
    #[error("{kind} `{}` is at revision {revision} now; read it again", masked(.name))]
    Changed {
        /// `key` or `plan`.
        kind: &'static str,
        name: String,
        /// The present revision.
        revision: u64,
    },
    /// The token came with another request before.
    #[error("this idempotency key was used with another request before; use a new one")]
    IdempotencyMismatch,
    /// The key that the request created before was deleted.
    #[error(
        "key `{}`, which this request created before, was deleted; use a new idempotency key to create another", masked(.0)
    )]
    CreatedKeyDeleted(String),
    /// Others keep changing it.
    #[error("{} `{}` is being changed by others; try again", .0, masked(.1))]
    TooManyConflicts(&'static str, String),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system gives no random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl ServiceError {
    /// One field is invalid.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![InvalidField::new(field, message)])
    }
}

impl From<CommitError> for ServiceError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            CommitError::Conflict(Conflict::Digest { owner, .. }) => Self::KeyExists(owner),
            CommitError::Conflict(Conflict::Key(name) | Conflict::Plan(name)) => {
                Self::TooManyConflicts("key", name)
            }
            CommitError::Conflict(Conflict::Token) => Self::IdempotencyMismatch,
        }
    }
}

impl From<PlanError> for ServiceError {
    fn from(error: PlanError) -> Self {
        Self::Inconsistent(masked(&error.to_string()).into_owned())
    }
}

fn faults(faults: &[InvalidField]) -> String {
    let texts = faults
        .iter()
        .map(|fault| format!("`{}` {}", fault.field, fault.message));
    texts.collect::<Vec<_>>().join("; ")
}

fn shared(api: Option<&str>) -> String {
    match api {
        Some(api) => format!("API `{}`", masked(api)),
        None => "all APIs".to_owned(),
    }
}
