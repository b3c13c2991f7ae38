//! HTTP requests to the servers in the configuration (`[callout.<name>]`). The gateway makes them, with its
//! connections, time-outs and limits, and with secrets that filters never see.
//!
//! Needs `allow = { interfaces = ["callout"], callouts = ["<name>"] }`, and `secrets` for a credential.
//!
//! A filter must make the same calls in the same order each time its `on-request` runs, because the phase runs again
//! for each response that it waited for.

use crate::gateway::calls;

pub use calls::{CallError, Response};

/// A secret that the gateway adds to a request, by its name. Filters never see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `authorization: Bearer <secret>` (RFC 6750, section 2.1).
    Bearer {
        /// The name of the secret.
        secret: String,
    },
    /// `authorization: Basic ..` (RFC 7617).
    Basic {
        /// The user name, without `:`.
        user: String,
        /// The name of the secret that holds the password.
        secret: String,
    },
    /// One more field of an `application/x-www-form-urlencoded` body.
    FormField {
        /// The name of the field.
        field: String,
        /// The name of the secret that holds its value.
        secret: String,
    },
}

/// Which other calls may share the response.
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
    /// A request with this method, for this path below the target's URL. The path is empty, or begins with `/` or `?`.
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

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a secret by its name.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Lets identical requests that are active at the same time share one response, across exchanges.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.share = AnswerSharing::Identical;
        self
    }

    /// Lets this filter's calls with this key share one response while they are active, if they have the same target
    /// and credential. Other parts of their requests may differ. So the key must cover everything that the response
    /// depends on, above all the caller: use a digest of it. 1 to 1,024 bytes.
    #[must_use]
    pub fn shared_by(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.share = AnswerSharing::Keyed(key.into());
        self
    }
}

/// Calls the target of this name.
///
/// After [`CallError::NotYet`], return any verdict: once the response has arrived, the phase runs again, and the same
/// call returns it.
///
/// # Errors
/// The reason why there is no response.
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
