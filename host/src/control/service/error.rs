//! Why a key or plan is not made or changed.
//!
//! A text never repeats what may be a key: names that came with the request are [`masked`].

use crate::keys::{RandomnessError, masked};
use crate::limits::PlanError;
use crate::shared_store::StorageError;

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidField {
    /// Which part, as a path of names: `metadata.tier`.
    pub(crate) field: String,
    /// What is wrong with it. Never holds a key's text.
    pub(crate) message: String,
}

impl InvalidField {
    /// Of this part.
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Why it is not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Some parts make no sense.
    #[error("{}", faults(.0))]
    Invalid(Vec<InvalidField>),
    /// Each part makes sense, and all together do not.
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
    /// There is a plan of that name.
    #[error("plan `{}` exists already; choose another name, or update it", masked(.0))]
    PlanExists(String),
    /// Another key has the same text.
    #[error("key `{}` has this value already; a value belongs to one key", masked(.0))]
    KeyExists(String),
    /// Keys are on the plan.
    #[error("plan `{}` is in use, by key `{}` for one; take its keys off it first", masked(.plan), masked(.key))]
    PlanInUse {
        plan: String,
        /// One of the keys.
        key: String,
    },
    /// Two plans of one key are sold for one API.
    #[error("plans `{}` and `{}` are both sold for {}; a key has one plan for each API", masked(.first), masked(.second), shared(.api.as_deref()))]
    Overlap {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// An API that both are sold for; None: all.
        api: Option<String>,
    },
    /// A rotation is running.
    #[error(
        "key `{}` has two live secrets already; wait until the older one ends, or send an overlap of 0 to end both now", masked(.0)
    )]
    RotationActive(String),
    /// The plan has no rate that a part of could be changed.
    #[error("plan `{}` has no rate yet: say `rate.per_second` as well", masked(.0))]
    NoRate(String),
    /// The plan has no quota.
    #[error("plan `{}` has no quota that could be extended", masked(.0))]
    NoQuota(String),
    /// The key is not on the plan.
    #[error("key `{}` is not on plan `{}`", masked(.key), masked(.plan))]
    NotOnPlan { key: String, plan: String },
    /// It is not as the caller knew it.
    #[error("{kind} `{}` is at revision {revision} by now; read it again", masked(.name))]
    Changed {
        /// `key` or `plan`.
        kind: &'static str,
        name: String,
        /// As it is.
        revision: u64,
    },
    /// The token came with another request before.
    #[error("this idempotency key came with another request before; use a new one")]
    IdempotencyMismatch,
    /// The request made a key before, which was deleted.
    #[error(
        "key `{}`, which this request made before, was deleted; use a new idempotency key to make another", masked(.0)
    )]
    CreatedKeyDeleted(String),
    /// Others change it all the time.
    #[error("{} `{}` is being changed by others; try again", .0, masked(.1))]
    TooManyConflicts(&'static str, String),
    /// The store cannot do it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl ServiceError {
    /// One part is wrong.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![InvalidField::new(field, message)])
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
