//! The values of a table, while they are read.
//!
//! The readers of the sections ([`super::section`]) take keys from a [`Table`]; the kinds of
//! values ([`super::field`]) read a [`Slot`]. Both report to the [`Reader`], which also keeps what
//! one section has to know of another.

mod slot;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::names::Names;
use super::problem::Problems;
use super::source::Span;

pub(super) use slot::Slot;
pub(super) use table::Table;

/// The state that all readers share.
pub(super) struct Reader {
    /// The problems so far.
    pub(crate) problems: Problems,
    /// The names that are defined, and which of them are used.
    pub(crate) names: Names,
    /// The texts that may be in the file once only, by sort and text, and where they are.
    pub(crate) seen: BTreeMap<(String, String), Span>,
    /// The most memory that a filter may ask for: `[wasm]` is read before the filters. Bytes.
    pub(crate) max_memory: u64,
    /// The base paths, by the index of the API: APIs are read before
    /// routes.
    pub(crate) base_paths: BTreeMap<usize, String>,
    /// The APIs whose base path could not be read, by index.
    pub(crate) unsure_apis: BTreeSet<usize>,
    /// The APIs of a plan, by the plan's index: plans are read before keys.
    pub(crate) plan_apis: BTreeMap<usize, Vec<usize>>,
    /// The path parameters that upstreams hash on: whether a route has them is known at the end.
    pub(crate) hash_params: Vec<HashParam>,
    /// Whether keys may stand elsewhere too, in a store.
    pub(crate) has_store: bool,
    /// The folder that relative paths in the file are relative to.
    pub(crate) folder: PathBuf,
    /// Whether a syntax error may have swallowed a part of the file.
    pub(crate) incomplete: bool,
}

/// `hash_on = "param:<name>"`.
pub(super) struct HashParam {
    /// The upstream's index.
    pub(crate) upstream: usize,
    /// The parameter.
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Reader {
    /// The line where the same text of the same sort stood before; else remembers this one.
    fn earlier(&mut self, sort: &str, text: &str, span: Span) -> Option<usize> {
        let known = (sort.to_owned(), text.to_owned());
        let first = *self.seen.entry(known).or_insert(span);
        (first != span).then(|| self.problems.source().position(first.start).line)
    }
}
