//! `windlass.toml`: TOML text to [`Config`].
//!
//! Before the first stop: nothing of the request's way is here, everything on it is built from
//! what is read here. In comes a file, out comes a [`Config`] with every default filled in and
//! every name resolved, or [`Problems`].
//!
//! ```text
//! text → syntax (TOML, with recovery) → section/* (a struct each, which a derive makes a
//! reader of, by way of field/* and value/*) → check (what concerns several) → Config
//! ```
//!
//! Promises: every problem is found and reported with its line, a caret and, where one is
//! known, a cure; nothing that may be a key or a secret is ever shown; an unknown key is an
//! error; every key has its sentence in the reference. Deliberately not here: opening the files
//! that the configuration names, compiling plugins, the router's conflicts, the order of
//! filters; what does these reports them through the same [`Problems`].

mod check;
mod editor_schema;
mod elsewhere;
mod excerpt;
mod field;
mod load;
mod mask;
mod names;
mod problem;
mod read;
pub mod reference;
mod references;
mod section;
mod source;
mod subject;
mod syntax;
mod value;

pub(crate) use editor_schema::{SettingsSchema, editor_schema};
pub(crate) use problem::{Problem, Problems, Severity, Subject};
pub use section::*;
pub use source::Span;
pub(crate) use value::path::parameters;
pub(crate) use value::{backticked, did_you_mean};

/// The most that `limits.document` of a filter can allow. Bytes.
pub(crate) const MAX_DOCUMENT: u64 = 64 << 20;

/// The most documents of a filter.
pub(crate) const MAX_DOCUMENTS: usize = 32;

/// The largest weight of an endpoint, and of an upstream of a route's `split`.
pub(crate) const MAX_WEIGHT: u32 = 1000;

/// Whether this is an endpoint's address: an IP address or a name, with a port.
#[must_use]
pub(crate) fn is_endpoint(text: &str) -> bool {
    text.len() <= 260 && value::address::endpoint(text).is_ok()
}

/// A number with its noun: `1 route`, `2 routes`.
#[must_use]
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A size as it stands in the file: `4MiB`.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    value::unit::SIZE.print(bytes)
}

/// Whether this is a label of an endpoint.
#[must_use]
pub(crate) fn is_label(name: &str, text: &str) -> bool {
    value::name::name(name).is_ok() && text.len() <= 256 && value::name::line(text).is_ok()
}
