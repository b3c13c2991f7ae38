//! Keys, plans and usage as they are managed and stored: never on a request's way.
//!
//! [`storage`] keeps them durably, in a file of SQLite or a Redis that several gateways share. [`service`]
//! has the rules by which the admin API changes them. [`sync`] keeps memory (`keys`, `limits`) and storage in
//! step, on a thread of its own. Nothing that answers a request imports this room.

pub(crate) mod service;
pub(crate) mod storage;
pub(crate) mod sync;
