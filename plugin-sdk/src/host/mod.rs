//! The host interfaces: what the gateway offers a filter beside the exchange. None of them
//! blocks.
//!
//! Every one but [`log`], [`documents`] and [`problem_members`] needs the operator's grant: `allow = { interfaces = ["keys"] }`. A call
//! without it traps, and `windlass check` prints the line that is missing.

pub mod api_description;
pub mod cache;
pub mod callout;
pub mod crypto;
pub mod documents;
pub mod jwt;
pub mod keys;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod problem_members;
pub mod rates;
pub(crate) mod response_edits;
