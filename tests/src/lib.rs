//! The harness of the end-to-end tests. It runs Windlass as a separate process, between upstreams
//! and clients that are as simple or as broken as a test needs. All traffic goes over real sockets.
//!
//! ```no_run
//! use windlass_tests::{Gateway, Upstream};
//!
//! let upstream = Upstream::echo();
//! let gateway = Gateway::with_config(format!(
//!     r#"
//!     [[route]]
//!     path     = "/orders/{{id}}"
//!     upstream = "orders"
//!
//!     [upstream.orders]
//!     endpoints = [{{ address = "{}" }}]
//!     "#,
//!     upstream.address(),
//! ))
//! .start();
//! assert_eq!(gateway.get("/orders/1").status, 200);
//! assert_eq!(upstream.received().len(), 1);
//! ```
//!
//! Every wait has a [`wait::DEADLINE`], and no wait sleeps. A process ends with the test that
//! started it. The harness uses no internals of Windlass: it sees only the things that an operator
//! and a client see.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that fails fails the test"
)]

mod client;
mod forward;
mod gateway;
pub mod http;
mod lines;
mod load;
mod metrics;
mod ports;
mod redis;
mod registry;
mod upstream;
pub mod wait;

pub use client::{Client, Request, Response};
pub use forward::Forward;
pub use gateway::{Builder, Finished, Gateway, command, program};
pub use lines::Lines;
pub use load::{Load, Report};
pub use metrics::Metrics;
pub use ports::{ClosedPort, FullPort};
pub use redis::RedisServer;
pub use registry::RegistryServer;
pub use upstream::{Received, Reply, Then, Upstream, write_zeros};

#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// The digest of an API key, as the configuration writes it.
#[must_use]
pub fn key_digest(key: &str) -> String {
    format!("sha256:{}", sha256(key.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
    bytes.iter().flat_map(digits).flatten().collect()
}
