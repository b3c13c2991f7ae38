//! The contract as Rust types, made from the files in `wit/`.
//!
//! The world that is bound here imports every interface and exports every phase. A component must match
//! the interfaces that it exports, and no others (see [`super::instance`]).

wasmtime::component::bindgen!({
    path: "../wit",
    world: "everything",
    imports: { default: trappable },
    additional_derives: [PartialEq],
});

pub(crate) use self::windlass::callout::calls;
pub(crate) use self::windlass::host::{crypto, keys, limits, log, rates, types};
pub(crate) use self::windlass::jwt::tokens;
pub(crate) use exports::windlass::filter::{description, lifecycle};
