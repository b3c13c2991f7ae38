//! A filter's addition to the API description.

use serde_json::{Map, Value};

/// Parts of OpenAPI 3.1 that apply to every operation whose route has the filter. See [`Describe`](crate::Describe).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contribution {
    schemes: Map<String, Value>,
    security: Vec<Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    extensions: Map<String, Value>,
}

impl Contribution {
    /// A contribution with no members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a way of authentication that the filter requires, an OpenAPI `Security Scheme Object`. Several are
    /// alternatives. Begin the name with that of the plugin.
    #[must_use]
    pub fn scheme(mut self, name: &str, scheme: Value, scopes: &[&str]) -> Self {
        self.schemes.insert(name.to_owned(), scheme);
        let mut requirement = Map::new();
        requirement.insert(name.to_owned(), scopes.into());
        self.security.push(requirement.into());
        self
    }

    /// Adds a parameter that the filter reads, an OpenAPI `Parameter Object`.
    #[must_use]
    pub fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds a response that the filter makes itself, an OpenAPI `Response Object`.
    #[must_use]
    pub fn response(mut self, status: u16, response: Value) -> Self {
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Adds a member for programs that support it. Its name must begin with `x-`.
    #[must_use]
    pub fn extension(mut self, name: &str, value: Value) -> Self {
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// The JSON text that the gateway reads.
    pub(crate) fn into_json(self) -> String {
        let mut whole = self.extensions;
        let members = [
            ("securitySchemes", Value::from(self.schemes)),
            ("security", self.security.into()),
            ("parameters", self.parameters.into()),
            ("responses", self.responses.into()),
        ];
        for (name, value) in members {
            let is_empty = value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(Map::is_empty);
            if !is_empty {
                whole.insert(name.to_owned(), value);
            }
        }
        Value::from(whole).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_added_is_there() {
        assert_eq!(Contribution::new().into_json(), "{}");
        let scheme = json!({ "type": "http", "scheme": "bearer" });
        let contribution = Contribution::new()
            .scheme("mine", scheme.clone(), &["read"])
            .response(401, json!({ "description": "no" }))
            .extension("x-limit", json!(3));
        let given: Value = serde_json::from_str(&contribution.into_json()).unwrap();
        assert_eq!(
            given,
            json!({
                "securitySchemes": { "mine": scheme },
                "security": [{ "mine": ["read"] }],
                "responses": { "401": { "description": "no" } },
                "x-limit": 3,
            })
        );
    }
}
