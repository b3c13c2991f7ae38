//! The heads of a request and of its response.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};

/// The request's head. The `host` field is in `headers`, exactly once.
#[derive(Debug)]
pub struct RequestHead {
    /// The version of HTTP that it came over.
    pub version: Version,
    pub method: Method,
    /// Path with query, normalised.
    pub target: PathAndQuery,
    /// The fields; framing and hop-by-hop fields are already gone.
    pub headers: HeaderMap,
}

/// The response's head.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// The fields; framing and hop-by-hop fields are already gone.
    pub headers: HeaderMap,
}

/// Members of a problem body beside those that it always has, by name.
pub(crate) type ProblemMembers = serde_json::Map<String, serde_json::Value>;
