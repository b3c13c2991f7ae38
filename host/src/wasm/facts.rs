//! The facts that a filter states when it is loaded, its advice for the operator included.

use crate::exchange::ResponseEdit;

/// The most pieces of advice that are kept.
const MAX_ADVICE: usize = 256;

/// The facts that a configured filter states about itself.
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

/// Advice of a filter, given while it was configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// A JSON pointer into the settings, and a warning about the value there.
    pub(crate) warnings: Vec<(String, String)>,
    /// Request fields that it sets to a value that endpoints may trust.
    pub(crate) trusted_fields: Vec<String>,
    /// Request fields that no client can send past it.
    pub(crate) removed_fields: Vec<String>,
    /// Request fields that it reads.
    pub(crate) read_fields: Vec<String>,
    /// The bounds that it counts by itself.
    pub(crate) bounds: Vec<BoundInfo>,
    /// Whether it answers preflights.
    pub(crate) preflights: bool,
    /// Its edits of every response.
    pub(crate) response_edits: Vec<ResponseEdit>,
    /// Whether its `on-response` has nothing to do.
    pub(crate) skips_response: bool,
}

impl Advice {
    /// Whether one more piece of advice is kept.
    pub(super) fn has_room(&self) -> bool {
        let fields = self.trusted_fields.len() + self.removed_fields.len() + self.read_fields.len();
        self.warnings.len() + fields < MAX_ADVICE
    }
}

/// A bound of `windlass:host/rates`, as the checks of a configuration see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoundInfo {
    pub(crate) name: String,
    /// The value that it counts by, if the configuration says whether requests have it.
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
    /// The bound does not apply to them.
    Skipped,
    Denied,
}
