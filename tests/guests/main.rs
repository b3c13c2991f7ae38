//! Filters that behave: every host interface, for requests and responses, and filters in other
//! languages.

#![allow(
    clippy::float_cmp,
    clippy::format_collect,
    reason = "counts are whole numbers; short texts"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod body;
mod exchange;
mod fakes;
mod host_panics;
mod languages;
mod refusals;
mod series;
mod services;
mod stage;
