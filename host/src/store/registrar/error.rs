//! Why a key or plan is not made or changed.

use super::super::keys::RandomnessError;
use super::super::ledger::LedgerError;
use super::super::limits::PlanError;

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which part, as a path of names: `metadata.tier`.
    pub field: String,
    /// What is wrong with it. Never holds a key's text.
    pub message: String,
}

impl Fault {
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
pub enum RegistrarError {
    /// Some parts make no sense.
    #[error("{}", faults(.0))]
    Invalid(Vec<Fault>),
    /// Each part makes sense, and all together do not.
    #[error("{0}")]
    Senseless(String),
    /// There is no such key.
    #[error("there is no key `{0}`")]
    NoKey(String),
    /// There is no such plan.
    #[error("there is no plan `{0}`")]
    NoPlan(String),
    /// A key is to be put on a plan that does not exist.
    #[error("plan `{0}` does not exist; create it first, or leave it out")]
    UnknownPlan(String),
    /// The configuration defines it.
    #[error("{kind} `{name}` is defined in the configuration; change it there and reload")]
    Fixed {
        /// `key` or `plan`.
        kind: &'static str,
        /// Which.
        name: String,
    },
    /// There is a plan of that name.
    #[error("plan `{0}` exists already; choose another name, or update it")]
    PlanExists(String),
    /// Another key has the same text.
    #[error("key `{0}` has this value already; a value belongs to one key")]
    KeyExists(String),
    /// Keys are on the plan.
    #[error("plan `{plan}` is in use, by key `{key}` for one; take its keys off it first")]
    PlanInUse {
        /// The plan.
        plan: String,
        /// One of the keys.
        key: String,
    },
    /// Two plans of one key are sold for one API.
    #[error("plans `{first}` and `{second}` are both sold for {}; a key has one plan for each API", shared(.api.as_deref()))]
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
        "key `{0}` has two live secrets already; wait until the older one ends, or send an overlap of 0 to end both now"
    )]
    Rotating(String),
    /// The plan has no quota.
    #[error("plan `{0}` has no quota that could be extended")]
    NoQuota(String),
    /// The key is not on the plan.
    #[error("key `{key}` is not on plan `{plan}`")]
    NotOnPlan {
        /// The key.
        key: String,
        /// The plan.
        plan: String,
    },
    /// It is not as the caller knew it.
    #[error("{kind} `{name}` is at revision {revision} by now; read it again")]
    Changed {
        /// `key` or `plan`.
        kind: &'static str,
        /// Which.
        name: String,
        /// As it is.
        revision: u64,
    },
    /// The token came with another request before.
    #[error("this idempotency key came with another request before; use a new one")]
    Mismatch,
    /// Others change it all the time.
    #[error("{0} `{1}` is being changed by others; try again")]
    Contended(&'static str, String),
    /// The store cannot do it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl RegistrarError {
    /// One part is wrong.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::new(field, message)])
    }
}

impl From<PlanError> for RegistrarError {
    fn from(error: PlanError) -> Self {
        Self::Senseless(error.to_string())
    }
}

fn faults(faults: &[Fault]) -> String {
    let texts = faults
        .iter()
        .map(|fault| format!("`{}` {}", fault.field, fault.message));
    texts.collect::<Vec<_>>().join("; ")
}

fn shared(api: Option<&str>) -> String {
    match api {
        Some(api) => format!("API `{api}`"),
        None => "all APIs".to_owned(),
    }
}
