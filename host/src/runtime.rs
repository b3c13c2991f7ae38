//! Parts of the process that every thread uses: its clocks, its files, its listening sockets, its tasks, and a
//! net below its panics.
//!
//! Promises: it knows no request. Only `http` and the stops above use it.

pub(crate) mod active_requests;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod memory;
pub(crate) mod panics;
pub(crate) mod process;
pub(crate) mod sockets;
pub(crate) mod tasks;
pub(crate) mod worker_shared;
