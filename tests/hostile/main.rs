//! Filters that fail, by accident or on purpose, harm only their own request.

#![allow(clippy::float_cmp, reason = "counts are whole numbers")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod aside;
mod breaker;
mod conformance;
mod forge;
mod loading;
mod memory;
mod places;
mod requests;
mod skip;
#[path = "../guests/stage.rs"]
mod stage;
mod waiting;
