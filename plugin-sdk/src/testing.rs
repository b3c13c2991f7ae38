//! Fakes of the gateway, so that `cargo test` runs whole phases of a filter on your own machine.
//!
//! A [`Gateway`] has what the operator would configure: grants, secrets, keys, plans, documents, other servers. It
//! loads a filter with its settings, as the real one does. A phase then runs on an [`Exchange`]: its edits, attributes,
//! notes and log lines are there afterwards.
//!
//! ```
//! use windlass_plugin_sdk::prelude::*;
//! use windlass_plugin_sdk::testing::{Exchange, Gateway};
//! # #[derive(serde::Deserialize)]
//! # #[serde(deny_unknown_fields)]
//! # struct Greeter { name: String }
//! # impl Filter for Greeter {
//! #     type Settings = Self;
//! #     fn configure(settings: Self) -> Result<(Self, Setup), Vec<Diagnostic>> { Ok((settings, Setup::new())) }
//! # }
//! # impl OnRequest for Greeter {
//! #     fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
//! #         request.set_header("x-hello", &self.name)?;
//! #         Ok(RequestVerdict::NEXT)
//! #     }
//! # }
//! let filter = Gateway::new().load::<Greeter>(r#"{ "name": "windlass" }"#).unwrap();
//! let mut exchange = Exchange::get("/orders/7");
//! let verdict = filter.on_request(&mut exchange).unwrap();
//! assert_eq!(verdict, RequestVerdict::NEXT);
//! assert_eq!(exchange.request_header("x-hello"), Some("windlass"));
//! ```
//!
//! The fakes promise the gateway's own behaviour: the same edits are refused with the same errors, a phase that fails
//! has edited nothing, and the same bounds hold. Where the gateway traps, a fake panics with the same text. A test of
//! the gateway runs the same steps on both and compares.
//!
//! They deliberately leave out the gateway around the filter: other filters of the chain, routing, the network, CPU
//! time and memory. `windlass plugin test` has those.

mod data;
mod exchange;
mod gateway;
#[doc(hidden)]
pub mod imports;
mod loaded;
mod plan;
mod rules;
mod state;
mod token;

pub use data::{Callout, LogLine};
pub use exchange::Exchange;
pub use gateway::Gateway;
pub use loaded::{BodyEnd, Loaded};
pub use plan::Plan;
pub use token::Token;
