//! Conformance suites: one table of cases for each part of the protocols that clients and endpoints
//! see.
//!
//! A case has a name that gives the rule, the bytes to send, and the expected result. A whole table
//! runs even if a case fails, and the failure names every failed case. Behaviours that need a story
//! rather than a table are in `tests/e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases is read as a whole, however long"
)]
#![allow(
    clippy::float_cmp,
    reason = "the numbers of `/metrics` are floats, and what they count is whole"
)]

mod abusive_guests;
mod downgrade;
mod endpoint_faults;
mod framing;
mod http1;
mod http2;
mod reload;
mod shared_plans;
mod shared_rates;
mod slow_clients;
mod table;
mod wire;
