//! The claims of a token.

use serde_json::{Map, Value};

use super::TokenError;
use super::json::{self, JsonBounds};

/// The bounds on the claims of a token.
const CLAIM_BOUNDS: JsonBounds = JsonBounds {
    depth: 16,
    values: 1024,
};

/// The claims of a token. Registered claims (RFC 7519, section 4.1) have the right type, if they
/// are present.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claims {
    object: Map<String, Value>,
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        let claims = Self {
            object: json::object(payload, CLAIM_BOUNDS)?,
        };
        // A number as `sub` is refused, although some libraries accept it: 1 and "1" would be one
        // subject to some readers and two to others. So is null, which is not a string.
        for name in ["iss", "sub", "jti", "client_id"] {
            let value = claims.get(name);
            if value.is_some_and(|value| !value.is_string()) {
                return Err(TokenError::ClaimType);
            }
        }
        for name in ["exp", "nbf", "iat"] {
            let value = claims.get(name);
            if value.is_some_and(|value| !value.is_number()) {
                return Err(TokenError::ClaimType);
            }
        }
        let strings = |list: &Vec<Value>| list.iter().all(Value::is_string);
        if claims.get("cnf").is_some_and(|value| !value.is_object()) {
            return Err(TokenError::ClaimType);
        }
        match claims.get("aud") {
            None | Some(Value::String(_)) => {}
            Some(Value::Array(list)) if strings(list) => {}
            Some(_) => return Err(TokenError::ClaimType),
        }
        Ok(claims)
    }

    /// The claim of this name. A name that begins with `/` is a JSON pointer (RFC 6901) into
    /// nested claims, for example `/realm_access/roles`.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let Some(pointer) = name.strip_prefix('/') else {
            return self.object.get(name);
        };
        let (first, rest) = match pointer.split_once('/') {
            Some((first, _)) => (first, pointer.get(first.len()..)?),
            None => (pointer, ""),
        };
        let first = first.replace("~1", "/").replace("~0", "~");
        self.object.get(&first)?.pointer(rest)
    }

    #[must_use]
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A claim that is a time. Seconds since 1970, which may have a fraction.
    #[must_use]
    pub(crate) fn time(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_f64()
    }

    /// The thumbprint of the key that the token is bound to (`cnf.jkt`, RFC 9449, section 6.1).
    ///
    /// # Errors
    ///
    /// The member has another type: a binding that cannot be read must not count as none.
    pub(super) fn bound_to(&self) -> Result<Option<&str>, TokenError> {
        match self.confirmation("jkt") {
            None => Ok(None),
            Some(Value::String(thumbprint)) => Ok(Some(thumbprint)),
            Some(_) => Err(TokenError::ClaimType),
        }
    }

    /// Whether the token is bound to a client certificate (RFC 8705, section 3.1).
    pub(super) fn is_bound_to_certificate(&self) -> bool {
        self.confirmation("x5t#S256").is_some()
    }

    /// A member of `cnf` (RFC 7800, section 3.1). Unknown members are ignored, as it requires.
    fn confirmation(&self, name: &str) -> Option<&Value> {
        self.object.get("cnf")?.get(name)
    }

    /// The audiences of the token: `aud`, whether it is a string or a list.
    pub(crate) fn audiences(&self) -> impl Iterator<Item = &str> {
        self.words("aud", false)
    }

    /// The scopes of the token: those of `scope` (RFC 8693, section 4.2) and of `scp`, each a
    /// string with spaces or a list.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.words("scope", true).chain(self.words("scp", true))
    }

    fn words(&self, name: &str, split: bool) -> impl Iterator<Item = &str> {
        let (text, list) = match self.object.get(name) {
            Some(Value::String(text)) => (Some(text.as_str()), [].as_slice()),
            Some(Value::Array(list)) => (None, list.as_slice()),
            Some(_) | None => (None, [].as_slice()),
        };
        let separator = move |character: char| split && character == ' ';
        let text = text.into_iter().flat_map(move |text| text.split(separator));
        let words = text.chain(list.iter().filter_map(Value::as_str));
        words.filter(move |word| !(split && word.is_empty()))
    }

    /// Whether the token has these scopes: all of them, or any.
    pub(crate) fn has_scopes<'a>(
        &self,
        mut wanted: impl Iterator<Item = &'a str>,
        any: bool,
    ) -> bool {
        let has = |scope: &str| self.scopes().any(|one| one == scope);
        if any {
            wanted.any(has)
        } else {
            wanted.all(has)
        }
    }
}
