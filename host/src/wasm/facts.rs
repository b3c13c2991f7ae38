//! The facts that a filter told when it was loaded.

use super::host::advice::Advice;

/// The facts that a configured filter told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The plugin's own name and version, for people.
    pub(crate) plugin: String,
    /// Its work, in one line.
    pub(crate) summary: String,
    /// Attributes that it always sets.
    pub(crate) provides: Vec<String>,
    /// Attributes that it sets in some cases.
    pub(crate) sometimes: Vec<String>,
    /// Attributes that it cannot work without.
    pub(crate) requires: Vec<String>,
    /// Its advice for the operator.
    pub(crate) advice: Advice,
    /// Its addition to a description of its APIs, if there is one: a JSON object.
    pub(crate) contribution: Option<serde_json::Value>,
}

/// A bound of `windlass:host/rates`, as far as the configuration has to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoundInfo {
    pub(crate) name: String,
    /// The value that it counts by, where the configuration tells whether requests have it.
    pub(crate) source: Option<BoundSource>,
    /// How requests without it are treated.
    pub(crate) lacking: OnMissingValue,
    /// Whether it is a sliding window.
    pub(crate) is_sliding: bool,
}

/// The source of the value that a bound counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BoundSource {
    /// An attribute, by its name.
    Attribute(String),
    /// A path parameter, by its name.
    PathParam(String),
}

/// How requests without the value that a bound counts by are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnMissingValue {
    /// They share one bucket.
    Shared,
    /// The bound does not hold for them.
    Skipped,
    Denied,
}
