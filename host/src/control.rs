//! The control plane: keys, plans and usage, managed and stored. No request waits for it.
//!
//! [`storage`] keeps them durably, in an SQLite file or a Redis that several gateways share.
//! [`service`] has the rules by which the admin API changes them. [`sync`] keeps memory (`keys`,
//! `limits`) and storage in step, on a thread of its own. Nothing that answers a client's request
//! imports this room.

pub(crate) mod service;
pub(crate) mod storage;
pub(crate) mod sync;
