//! What the host interfaces stand on: keys, usage plans' counters, caches, secrets.
//!
//! No stop of its own on a request's way: `wasm` calls it while a filter's phase runs, and what
//! it answers is what the interfaces `keys`, `limits`, `cache` and `crypto` of `windlass:host`
//! promise.
//!
//! It promises
//! - that nothing here waits: no file, socket or store is touched after the start, and the only
//!   locks are short ones around one counter or one cache entry, never held while other code
//!   runs;
//! - that counts are exact whatever the number of workers;
//! - that everything is bounded, and that what does not fit is refused;
//! - that no key and no secret can be printed: keys are digests, secrets have no text.
//!
//! Two traits are the seams for stores that outlive the process or are shared by several
//! gateways: [`KeyStore`](keys::KeyStore) and [`LimitStore`](limits::LimitStore). Here each has
//! the implementation that needs nothing: [`StaticKeys`](keys::StaticKeys), from the config,
//! and [`LocalLimits`](limits::LocalLimits), in memory.
//!
//! It deliberately knows no WebAssembly, no runtime, no config and no grants: who may ask is
//! decided before it is asked. It reads no clock: the time comes in with every call, from the
//! one [`Clock`](limits::Clock) that the process has.
//!
//! What belongs to one config (keys, plans, secrets) is built with it. What must survive a
//! reload ([`LocalLimits`](limits::LocalLimits), [`Caches`](cache::Caches)) is made once a
//! process and handed to each.

pub mod cache;
pub mod crypto;
pub mod keeper;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod registrar;
pub mod secrets;
