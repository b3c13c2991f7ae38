//! The storage of filters in memory, for the host interfaces `cache` and `crypto`: filters'
//! caches, digests, and secrets by name.
//!
//! A filter's call comes here through `wasm`, which has checked its grants. It promises that no
//! call waits, that everything is bounded, and that no secret can be printed. It deliberately has
//! no keys and no counters of plans: these are rooms of their own.

pub(crate) mod cache;
pub(crate) mod crypto;
pub(crate) mod secrets;
