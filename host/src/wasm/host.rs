//! The host interfaces of `wit/deps/windlass-host`, one file each.
//!
//! Each function first charges its call to the phase's account ([`HostFunctions`]), and then the bytes that
//! stay in the host. An error of Rust's `Result` traps the guest; a refusal that the contract defines is a
//! value.

mod advice;
mod api_description;
mod attributes;
mod cache;
pub(crate) mod callout;
mod crypto;
mod documents;
mod edit;
mod exchange;
mod fields;
mod functions;
mod jwt;
mod keys;
mod limits;
mod log;
mod metrics;
mod preflights;
mod problem_members;
mod proof;
mod rates;
mod raw_params;
mod refused;
mod response_edits;

use wasmtime::Result;

pub(super) use edit::parse_target;
pub(super) use functions::HostFunctions;

use crate::model::filter::HostInterface;

/// Adds the functions of an interface.
type LinkInterface = fn(HostFunctions<'_>) -> Result<()>;

/// The interfaces that need no grant, by their paths. All but `exchange`, `raw-params` and `problem-members` are
/// for `configure`, too.
pub(super) const OPEN_INTERFACES: [(&str, LinkInterface); 9] = [
    ("windlass:host/types", |_| Ok(())),
    ("windlass:host/exchange", exchange::link),
    ("windlass:host/log", log::link),
    ("windlass:host/advice", advice::link),
    ("windlass:host/preflights", preflights::link),
    ("windlass:host/documents", documents::link),
    ("windlass:host/problem-members", problem_members::link),
    ("windlass:host/raw-params", raw_params::link),
    ("windlass:host/response-edits", response_edits::link),
];

/// Link an interface that is granted.
pub(super) fn link_granted(interface: HostInterface, functions: HostFunctions<'_>) -> Result<()> {
    match interface {
        HostInterface::ApiDescription => api_description::link(functions),
        HostInterface::Cache => cache::link(functions),
        HostInterface::Callout => callout::link(functions),
        HostInterface::Crypto => crypto::link(functions),
        HostInterface::Jwt => jwt::link(functions),
        HostInterface::Keys => keys::link(functions),
        HostInterface::Limits => limits::link(functions),
        HostInterface::Metrics => metrics::link(functions),
        HostInterface::Rates => rates::link(functions),
    }
}
