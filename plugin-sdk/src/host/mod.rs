//! The host interfaces: functions that the gateway offers to filters beside the exchange. None of them blocks.
//!
//! Each one except [`log`], [`documents`] and [`problem_members`] needs the operator's grant: `allow = { interfaces =
//! ["keys"] }`. A call without it traps, and `windlass check` prints the missing line.

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
