//! Windlass: a programmable API gateway. This crate is all of it; the binary is one call of
//! [`cli::main`].
//!
//! # The life of a request
//!
//! ```text
//!                client
//!                 | ^
//!                 v |
//!  1  server::listen      accept; hand over to the worker that holds fewest
//!  2  server::connection  TLS; hyper reads the head; time-outs; 408, 414, 431 (server::http2: many
//!                         at once, each with time-outs of its own)
//!  3  server::head        one valid host, one framing: an Exchange, or a code
//!                 | ^
//!                 v |
//!     proxy::handle       always answers; finishes every exchange: log line, counts, log phases
//!       proxy::carry      the stops in order, each of which may fail
//!                 | ^
//!                 v |
//!  4  route               path rule, then host, path, method        no_route, method_not_allowed
//!                 | |
//!  5  chain::request      filters in order ---- a refusal or a failure turns back here ----+
//!                 | |                                                                      |
//!  6  balance             a Lease on an endpoint, or a fixed response or redirect          |
//!  7  upstream            one attempt; hop-by-hop fields off, X-Forwarded-* on             |
//!                 | |                                                                      |
//!                 v |                                                                      |
//!               endpoint                                                                   |
//!                   |                                                                      |
//!  8  chain::response     filters in reverse, those that were entered <--------------------+
//!                   |
//!                   v
//!                client
//! ```
//!
//! A filter's phase, at stops 5 and 8 (and for chunks of a body between them):
//!
//! ```text
//! chain -> wasm::filter    the breaker's permit, an instance of this worker's own, its limits
//!       -> wasm::instance  the exchange moves into the store; the export runs
//!       -> wasm::host      what the guest calls: the exchange itself, keys, limits, filter_store, tokens, callout
//!       -> wasm::verdict   checked; only then are the edits kept
//! ```
//!
//! Errors of the upstream and the gateway pass stop 8 as well, so filters see every answer of
//! their route. Bodies do not pass stop by stop: a body is a stream ([`http::body::Body`]) that the
//! connection pulls, with the filters that asked for chunks in its way.
//!
//! # Around it
//!
//! [`config`] reads the file, [`build`] makes all that one configuration needs, [`server`] puts it in use. A
//! request keeps the [`proxy::generation::Generation`] that it began with. [`proxy::worker`] is what one thread owns,
//! [`observe`] its numbers; [`admin`] shows them on a thread of its own. [`control`] manages keys, plans and
//! their storage, and never stands in a request's way. [`http`] and [`runtime`] are what all stops need.
//! ARCHITECTURE.md, beside this crate's manifest, has the floors and the invariants.

mod admin;
mod balance;
mod build;
mod callout;
mod chain;
pub mod cli;
mod config;
mod control;
mod distribution;
mod error;
mod exchange;
mod filter_store;
mod http;
#[doc(hidden)]
pub mod internals;
mod keys;
mod limits;
mod model;
mod observe;
mod plugin_dev;
mod plugin_inspect;
mod plugin_test;
mod proxy;
mod route;
mod runtime;
mod server;
mod shared_store;
mod tokens;
mod upstream;
mod verifier;
mod wasm;
