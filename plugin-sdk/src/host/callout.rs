//! HTTP requests to the servers of the configuration (`[callout.<name>]`), made by the gateway: with its connections,
//! time-outs and bounds, and with secrets that no filter sees.
//!
//! Needs `allow = { interfaces = ["callout"], callouts = ["<name>"] }`, and `secrets` for a credential.
//!
//! A filter makes the same calls in the same order each time its `on-request` runs: it runs once more for each answer that
//! was waited for.

use crate::bindings::callout::windlass::callout::calls;

pub use calls::{CallError, Response};

/// A secret that the gateway puts into a request, by its name. No filter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `authorization: Bearer <secret>` (RFC 6750, section 2.1).
    Bearer {
        /// The secret's name.
        secret: String,
    },
    /// `authorization: Basic ..` (RFC 7617).
    Basic {
        /// Who: without `:`.
        user: String,
        /// The name of the secret that is the password.
        secret: String,
    },
    /// One more field of an `application/x-www-form-urlencoded` body.
    FormField {
        /// The field's name.
        field: String,
        /// The name of the secret that is its value.
        secret: String,
    },
}

/// Which other calls may have the answer.
#[derive(Debug, Clone)]
enum AnswerSharing {
    Alone,
    Identical,
    Keyed(Vec<u8>),
}

/// A request to a target.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    credential: Option<Credential>,
    share: AnswerSharing,
}

impl Request {
    /// With this method, for this path below the target's URL: empty, or beginning with `/` or `?`.
    #[must_use]
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            credential: None,
            share: AnswerSharing::Alone,
        }
    }

    /// With one more field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With a secret, which the gateway puts in.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Identical requests that are under way at the same time may have one answer, whichever exchange asked.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.share = AnswerSharing::Identical;
        self
    }

    /// Calls of this filter to the same target, with the same credential and this key, may have one answer while they are
    /// under way, whatever else their requests have. The key stands for all that the answer depends on, whose it is
    /// above all: a digest of that. 1 to 1,024 bytes.
    #[must_use]
    pub fn shared_by(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.share = AnswerSharing::Keyed(key.into());
        self
    }
}

/// Asks the target of this name.
///
/// After [`CallError::NotYet`] return anything: the phase runs again once the answer is there, and the same call gives it.
///
/// # Errors
/// Why there is no answer.
pub fn call(target: &str, request: &Request) -> Result<Response, CallError> {
    let headers = request.headers.iter();
    let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
    let credential = request
        .credential
        .as_ref()
        .map(|credential| match credential {
            Credential::Bearer { secret } => calls::Credential::Bearer(secret),
            Credential::Basic { user, secret } => calls::Credential::Basic((user, secret)),
            Credential::FormField { field, secret } => {
                calls::Credential::FormField((field, secret))
            }
        });
    calls::call(
        target,
        calls::Request {
            method: &request.method,
            path: &request.path,
            headers: &headers,
            body: &request.body,
            credential,
            share: match &request.share {
                AnswerSharing::Alone => calls::Sharing::Alone,
                AnswerSharing::Identical => calls::Sharing::Identical,
                AnswerSharing::Keyed(key) => calls::Sharing::Keyed(key),
            },
        },
    )
}

impl Response {
    /// The first value of a field, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &value[..])
    }
}
