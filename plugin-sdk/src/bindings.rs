//! What wit-bindgen makes of the contract in `wit/`.
//!
//! One module for each `*-only` world. The imports, and every type, come from the first
//! (`lifecycle`); the others name its types, so a verdict is the same Rust type everywhere. Each
//! module's `export!` carries the metadata of its own world into the plugin that calls it, and
//! only there; the linker merges what it finds. That is how a component comes to export exactly
//! the phases of its `windlass_plugin_sdk::export!` line, and to import only what it calls.
//!
//! Not for plugin authors: the rest of this crate is the friendly face of these functions.

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
                $($shared)*
            });
        }
    };
}

/// One phase, with the types of `lifecycle`.
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
    /// The imports of tokens.
    jwt,
    "windlass:filter/token-interfaces",
    with: {
        "windlass:host/types@0.1.0": crate::bindings::lifecycle::windlass::host::types,
        "windlass:jwt/tokens@0.1.0": generate,
    }
);
world!(
    /// The imports of calls to other servers.
    callout,
    "windlass:filter/callout-interfaces",
    with: {
        "windlass:host/types@0.1.0": crate::bindings::lifecycle::windlass::host::types,
        "windlass:callout/calls@0.1.0": generate,
    }
);
world!(
    /// The export of the description, which names no type.
    description,
    "windlass:filter/description-only",
);
phase!(request, "windlass:filter/request-only");
phase!(request_body, "windlass:filter/request-body-only");
phase!(response, "windlass:filter/response-only");
phase!(response_body, "windlass:filter/response-body-only");
world!(
    /// The export of the log phase, which names no type.
    log,
    "windlass:filter/log-only",
);
