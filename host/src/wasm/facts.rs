//! The facts that a filter told when it was loaded.

use super::host::advice::Advice;

/// The facts that a configured filter told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The plugin's own name and version, for people.
    pub plugin: String,
    /// Its work, in one line.
    pub summary: String,
    /// Attributes that it always sets.
    pub provides: Vec<String>,
    /// Attributes that it sets in some cases.
    pub sometimes: Vec<String>,
    /// Attributes that it cannot work without.
    pub requires: Vec<String>,
    /// Its advice for the operator.
    pub advice: Advice,
    /// Its addition to a description of its APIs, if there is one: a JSON object.
    pub contribution: Option<serde_json::Value>,
}
