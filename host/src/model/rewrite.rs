//! How a route changes the host and the path of its requests before they go on.
//!
//! Pure data: the configuration makes it, `route` writes the path, and `upstream` sends the host.

use http::HeaderValue;

use super::condition::TextPattern;

/// The changes of a route.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rewrite {
    /// The `host` that endpoints get.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) path: Option<PathRewrite>,
}

/// How the new path is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PathRewrite {
    /// From these parts; values are those of the parameters, by their index in the route's path.
    Parameters(Vec<PathPart>),
    /// From these parts if the whole path matches; values are those of its groups, by number.
    Groups(TextPattern, Vec<PathPart>),
}

/// A part of a new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathPart {
    /// This text, percent-encoded.
    Text(Box<str>),
    /// A value of the request, spelled as there.
    Value(usize),
}
