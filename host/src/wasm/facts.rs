//! What a filter said of itself when it was loaded.

use super::host::advice::Advice;

/// What a configured filter said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The plugin's own name and version, for people.
    pub plugin: String,
    /// What it does, in one line.
    pub summary: String,
    /// Attributes that it always sets.
    pub provides: Vec<String>,
    /// Attributes that it sets in some cases.
    pub sometimes: Vec<String>,
    /// Attributes that it cannot work without.
    pub requires: Vec<String>,
    /// What it tells the operator.
    pub advice: Advice,
    /// What it adds to a description of its APIs, if it adds anything: a JSON object.
    pub contribution: Option<serde_json::Value>,
}
