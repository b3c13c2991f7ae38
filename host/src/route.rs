//! Stop 4: which route a request takes.
//!
//! Before it comes `server/` (a parsed head), after it `chain/` (the filters of the route).
//! The way through here: [`path::normalize`] the target once, [`Router::find`] the route, and
//! hand the normalised target to everything that follows.
//!
//! Promises: pure functions of their arguments; one path rule for router, filters and
//! upstream; a look-up allocates nothing for a path without escapes and up to four
//! parameters; its cost is bounded by the number of segments in the config, whatever a
//! client sends.
//!
//! Deliberately absent: config types, names of routes (a route is its place in the list that
//! the router was built from), match by header, and any I/O.

pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod router;

mod hosts;
mod params;
mod pattern;
#[cfg(test)]
mod reference;
mod trie;

pub(crate) use path::{
    PathError, decode_segment, may_have_other_readings, normalize, other_readings, skip,
    split_query,
};
pub(crate) use query::{query_value, raw_query_value};
pub(crate) use router::{Match, MethodMatch, NoRoute, RoutePart, RouteSpec, Router};
