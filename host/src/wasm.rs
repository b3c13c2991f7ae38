//! Filters as WebAssembly components. No other folder names wasmtime.
//!
//! [`crate::chain`] calls a [`Filter`]: its worker checks an instance out, arms its limits, lends it
//! the exchange for one phase, and takes both back. The guest calls host interfaces ([`host`]), which use [`crate::keys`],
//! [`crate::limits`], [`crate::tokens`], [`crate::callout`] and [`crate::filter_store`].
//!
//! It promises
//! - that one failed call is one failed phase of one request: whatever a guest does, the call
//!   ends, Windlass undoes its edits and discards its instance, and the caller gets a
//!   [`CallFailure`];
//! - that an instance is only ever used by one worker at a time, and that its memory is bounded
//!   by its own cap and by the process's budget;
//! - that a filter uses what it was granted, and nothing else.
//!
//! Calls are plain ones: nothing that a component can import today may block. Only a filter that
//! may use the processor for long (`limits.cpu` above its default) is called on a fiber, which
//! yields at every tick of the epoch, so that its worker goes on meanwhile ([`fiber`]). An
//! interface that may block will come in a world of its own, and [`linker`] is where a filter that
//! imports and is granted it will be recognized.

mod account;
pub(crate) mod anatomy;
mod bindings;
pub(crate) mod bounds;
pub(crate) mod breaker;
mod calls;
mod charge;
pub(crate) mod chunk;
mod compiler;
pub(crate) mod component;
pub(crate) mod component_cache;
mod component_digest;
pub(crate) mod component_names;
mod contribution;
pub(crate) mod cpu;
mod debug_lines;
mod defined_rates;
pub(crate) mod documents;
pub(crate) mod engine;
mod epoch;
mod exports;
pub(crate) mod facts;
pub(crate) mod failure;
mod fiber;
pub(crate) mod field_names;
pub(crate) mod filter;
mod filter_services;
mod function_cache;
pub(crate) mod grants;
mod guest_trace;
mod host;
pub(crate) mod inspect;
mod instance;
mod instance_source;
mod job_queue;
mod large_responses;
mod linker;
mod maker;
mod memory;
mod notices;
mod output;
pub(crate) mod pending_charge;
mod pool;
pub(crate) mod recorder;
pub(crate) mod registry;
mod reserved_fields;
pub(crate) mod series;
pub(crate) mod services;
mod settings_schema;
pub(crate) mod standard;
mod state;
mod token_check;
pub(crate) mod verdict;
mod wasi;
mod worker_filter;

pub(crate) use calls::CallContext;
pub(crate) use chunk::Chunk;
pub(crate) use failure::CallFailure;
pub(crate) use filter::Filter;
pub(crate) use instance::{BodyCall, CallFault, PhaseResult};
pub(crate) use pending_charge::DecisionSignal;
pub(crate) use pool::INSTANCES_PER_WORKER;
pub(crate) use registry::FilterRegistry;
pub(crate) use services::Services;
pub(crate) use verdict::{BodyMode, BodyVerdict, FilterResponse, HeadVerdict};
pub(crate) use worker_filter::{CheckOutError, CheckedOut, WorkerFilter};

/// The SHA-256 of a plugin's file, in hexadecimal.
#[must_use]
pub(crate) fn file_digest(wasm: &[u8]) -> String {
    component_digest::ComponentDigest::of(wasm).to_string()
}

/// Connections move between workers and instances between threads: what they hold must be `Send`.
const fn assert_send<T: Send>() {}
const _: () = assert_send::<state::InstanceState>();
const _: () = assert_send::<instance::Instance>();
