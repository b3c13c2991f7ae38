//! The functions of the gateway, as the rest of this crate calls them.
//!
//! On WebAssembly they are the imports of the contract. Elsewhere there is no gateway, so they are fakes that answer
//! from the state of a test ([`testing`](crate::testing)). A call outside of such a test panics with the function's
//! name; the generated imports would abort the whole process.

#[cfg(target_family = "wasm")]
pub use crate::bindings::callout::windlass::callout::calls;
#[cfg(target_family = "wasm")]
pub use crate::bindings::jwt::windlass::jwt::tokens;
#[cfg(target_family = "wasm")]
pub use crate::bindings::lifecycle::windlass::host::{
    advice, api_description, cache, crypto, documents, exchange, keys, limits, log, metrics,
    preflights, problem_members, rates, raw_params, response_edits,
};

#[cfg(not(target_family = "wasm"))]
pub use crate::testing::imports::{
    advice, api_description, cache, calls, crypto, documents, exchange, keys, limits, log, metrics,
    preflights, problem_members, rates, raw_params, response_edits, tokens,
};
