//! What the host interfaces stand on: keys, usage plans' counters, caches, secrets.
//!
//! No stop of its own on a request's way: `wasm` calls it while a filter's phase runs, and what
//! it answers is what the interfaces `keys`, `limits`, `cache` and `crypto` of `windlass:host`
//! promise.
//!
//! Two sides. On a request's way: [`keys`], [`limits`], [`cache`], [`crypto`], [`secrets`]. Off it,
//! on threads of their own: [`ledger`] (the durable keys, plans and usage), [`keeper`] (keeps memory
//! and ledger in step), [`registrar`] (the rules by which keys and plans are sold).
//!
//! It promises
//! - that no call on a request's way waits: no file, socket or store is touched there, and the only
//!   locks are short ones around one counter or one cache entry, never held while other code
//!   runs. Who must know a share of a shared budget is given something to wait for
//!   ([`LimitStore::wait`](limits::LimitStore::wait));
//! - that counts are exact whatever the number of workers, and within a stated bound whatever the
//!   number of gateways;
//! - that everything is bounded, and that what does not fit is refused;
//! - that no key and no secret can be printed: keys are digests, secrets have no text.
//!
//! Two traits are the seams: [`Ledger`](ledger::Ledger), a file of SQLite or a Redis that several
//! gateways share, and [`LimitStore`](limits::LimitStore), counters in memory
//! ([`LocalLimits`](limits::LocalLimits)) or leases from a shared budget
//! ([`LeasedLimits`](limits::LeasedLimits)).
//!
//! It deliberately knows no WebAssembly, no runtime, no config and no grants: who may ask is
//! decided before it is asked. On a request's way it reads no clock: the time comes in with every
//! call, from the one [`Clock`](limits::Clock) that the process has.
//!
//! What belongs to one config (its keys, plans, secrets) is built with it. What must survive a
//! reload (counters, [`Caches`](cache::Caches), all of the ledger) is made once a process and
//! handed to each.

pub(crate) mod cache;
pub(crate) mod crypto;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod secrets;
pub(crate) mod service;
pub(crate) mod storage;
pub(crate) mod sync;
