//! The code that wit-bindgen generates from the contract in `wit/`.
//!
//! There is one module for each `*-only` world. All imports and types come from the first one
//! (`lifecycle`), and the other modules refer to its types, so a verdict is the same Rust type
//! everywhere. Each module's `export!` puts the metadata of its world into the plugin that calls
//! it, and only there; the linker merges the metadata. So a component exports exactly the phases of
//! its `windlass_plugin_sdk::export!` line, and imports only the functions that it calls.
//!
//! Plugin authors do not need this module: the rest of this crate wraps these functions.

#![allow(
    clippy::pedantic,
    clippy::same_length_and_capacity,
    missing_docs,
    reason = "generated; the docs are those of the WIT files"
)]

/// The bindings of one world.
macro_rules! world {
    ($(#[$doc:meta])* $name:ident, $world:literal, $($shared:tt)*) => {
        $(#[$doc])*
        pub mod $name {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                ownership: Borrowing { duplicate_if_necessary: true },
                pub_export_macro: true,
                additional_derives: [PartialEq],
                $($shared)*
            });
        }
    };
}

/// The bindings of one phase, which use the types of `lifecycle`.
macro_rules! phase {
    ($name:ident, $world:literal) => {
        world!(
            /// The export of this phase.
            $name,
            $world,
            with: {
                "windlass:host/types@0.1.0": crate::bindings::lifecycle::windlass::host::types,
            }
        );
    };
}

world!(
    /// The imports, all types, and the export `lifecycle`.
    lifecycle,
    "windlass:filter/lifecycle-only",
    generate_all
);
world!(
    /// The imports for tokens.
    jwt,
    "windlass:filter/token-interfaces",
    with: {
        "windlass:host/types@0.1.0": crate::bindings::lifecycle::windlass::host::types,
        "windlass:jwt/tokens@0.1.0": generate,
    }
);
world!(
    /// The imports for calls to other servers.
    callout,
    "windlass:filter/callout-interfaces",
    with: {
        "windlass:host/types@0.1.0": crate::bindings::lifecycle::windlass::host::types,
        "windlass:callout/calls@0.1.0": generate,
    }
);
world!(
    /// The export of the API description, which uses no type.
    description,
    "windlass:filter/description-only",
);
phase!(request, "windlass:filter/request-only");
phase!(request_body, "windlass:filter/request-body-only");
phase!(response, "windlass:filter/response-only");
phase!(response_body, "windlass:filter/response-body-only");
world!(
    /// The export of the log phase, which uses no type.
    log,
    "windlass:filter/log-only",
);
