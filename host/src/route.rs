//! Stop 4: which route a request takes.
//!
//! `server/` comes before (a parsed head), `chain/` after (the filters of the route). The way through
//! here: [`path::normalize`] the target once, find the route ([`Router::find`]), and pass the
//! normalized target to everything that follows.
//!
//! All functions are pure. Router, filters and upstream share one path rule. A look-up allocates
//! nothing for a path without escapes and with up to four parameters, and the number of segments in the
//! config bounds its cost, whatever a client sends. Not here: config types and names of routes (a route is
//! its index in the list that the router was built from).

pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod router;

mod conditions;
mod coverage;
mod hosts;
mod params;
mod pattern;
#[cfg(test)]
mod reference;
mod rewrite;
mod trie;

pub(crate) use conditions::RequestFacts;
pub(crate) use coverage::Coverage;
pub(crate) use path::{
    PathError, decode_segment, may_have_other_readings, normalize, other_readings, skip,
    split_query,
};
pub(crate) use query::{query_value, raw_query_value};
pub(crate) use rewrite::rewrite;
pub(crate) use router::{LAST_PRIORITY, Match, MethodMatch, NoRoute, RoutePart, RouteSpec, Router};
