//! What the host interfaces `cache` and `crypto` stand on: filters' caches, digests, and secrets by name.
//!
//! A filter's call comes here through `wasm`, which has checked its grants. Promises: no call waits, all is
//! bounded, and no secret can be printed. Keys and counters of plans are rooms of their own.

pub(crate) mod cache;
pub(crate) mod crypto;
pub(crate) mod secrets;
