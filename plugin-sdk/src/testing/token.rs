//! Tokens that a test accepts or rejects.

use serde_json::Value;

/// A verifier's answer about a token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The claims, or the word of the rejection.
    pub(super) answer: Result<Value, String>,
    pub(super) is_bound: bool,
}

impl Token {
    /// A token that is accepted, with these claims: a JSON object.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn accepted(claims: &str) -> Self {
        let claims: Value = serde_json::from_str(claims)
            .unwrap_or_else(|error| panic!("the claims are not JSON: {error}"));
        assert!(claims.is_object(), "the claims are not a JSON object");
        Self {
            answer: Ok(claims),
            is_bound: false,
        }
    }

    /// A token that is rejected, by the stable word (`expired`, `signature`, ..).
    #[must_use]
    pub fn rejected(word: &str) -> Self {
        Self {
            answer: Err(word.to_owned()),
            is_bound: false,
        }
    }

    /// Binds the token to a key: it is accepted only with a proof.
    #[must_use]
    pub fn bound(mut self) -> Self {
        self.is_bound = true;
        self
    }
}

/// A check of tokens that a filter defined.
#[derive(Debug, Clone)]
pub(super) struct DefinedCheck {
    pub(super) scopes: Vec<String>,
    pub(super) any_scope: bool,
    /// Claim, attribute, and whether it is required.
    pub(super) claims: Vec<(String, String, bool)>,
    /// Name, scheme, and whether it is hidden.
    pub(super) field: Option<(http::HeaderName, Option<String>, bool)>,
}

/// A claim, by its name or by a JSON pointer.
pub(super) fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    match name.starts_with('/') {
        true => claims.pointer(name),
        false => claims.get(name),
    }
}

/// Whether the claims have these scopes (`scope` or `scp`, a text or a list).
pub(super) fn has_scopes(claims: &Value, wanted: &[String], any: bool) -> bool {
    let mut scopes: Vec<&str> = Vec::new();
    for name in ["scope", "scp"] {
        match claims.get(name) {
            Some(Value::String(text)) => scopes.extend(text.split(' ')),
            Some(Value::Array(list)) => scopes.extend(list.iter().filter_map(Value::as_str)),
            _ => {}
        }
    }
    let has = |scope: &String| scopes.contains(&scope.as_str());
    match any {
        true => wanted.iter().any(has),
        false => wanted.iter().all(has),
    }
}
