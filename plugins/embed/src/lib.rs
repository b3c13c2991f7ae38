//! The first-party plugins, as components: what `builtin:<name>` loads.
//!
//! The build script builds them for WebAssembly, in a target folder of their own, and this crate
//! embeds the files. Stands before the gateway's config, which names them. Promises: each plugin
//! comes with exactly the grants that its README lists (a test compares the two). Deliberately
//! does not: load, compile or look into a component.

use std::time::Duration;

/// The processor time of one call, where the config has no `limits.cpu`.
const CALL: Duration = Duration::from_millis(10);

/// A first-party plugin and what it is granted without an `allow` in the config.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinPlugin {
    /// The name after `builtin:`.
    pub name: &'static str,
    /// The component, as the file's bytes.
    pub component: &'static [u8],
    /// The processor time of one call, where the config has no `limits.cpu`.
    pub cpu: Duration,
    /// The host interfaces that it is granted, by their names in `allow.interfaces`.
    pub interfaces: &'static [&'static str],
    /// The attributes that it may set, as in `allow.attributes`; `*` ends a prefix.
    pub attributes: &'static [&'static str],
    /// Where its settings name a `[callout.<name>]`, which it is granted then: JSON pointers.
    pub callouts: &'static [&'static str],
    /// Where its settings name a `[secret.<name>]`, which it is granted then: JSON pointers.
    pub secrets: &'static [&'static str],
}

/// One row of the table: the build script has put the component of that name into `OUT_DIR`.
macro_rules! plugin {
    ($name:literal, interfaces: $interfaces:expr, attributes: $attributes:expr) => {
        plugin!($name, interfaces: $interfaces, attributes: $attributes, callouts: [], secrets: [])
    };
    (
        $name:literal,
        interfaces: $interfaces:expr,
        attributes: $attributes:expr,
        callouts: $callouts:expr,
        secrets: $secrets:expr
    ) => {
        BuiltinPlugin {
            name: $name,
            component: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            cpu: CALL,
            interfaces: &$interfaces,
            attributes: &$attributes,
            callouts: &$callouts,
            secrets: &$secrets,
        }
    };
}

/// Every first-party plugin.
pub static BUILTIN_PLUGINS: &[BuiltinPlugin] = &[
    plugin!(
        "api-key",
        interfaces: ["keys"],
        attributes: ["consumer.*", "api-key.*", "auth.*", "plan.*"]
    ),
    plugin!("usage-plan", interfaces: ["limits"], attributes: []),
    plugin!("transform", interfaces: [], attributes: []),
    plugin!("cors", interfaces: [], attributes: []),
    plugin!(
        "jwt",
        interfaces: ["jwt", "callout", "cache", "crypto"],
        attributes: ["consumer.*", "auth.*"],
        callouts: ["/introspection/callout"],
        secrets: ["/introspection/secret"]
    ),
    BuiltinPlugin {
        // The first call after a change of the configuration assembles the document, however long it is.
        cpu: Duration::from_secs(1),
        ..plugin!("sdk-metadata", interfaces: ["api-description", "crypto"], attributes: [])
    },
    plugin!("rate-limit", interfaces: ["rates", "metrics"], attributes: []),
    plugin!(
        "authorizer",
        interfaces: ["cache", "callout", "crypto", "keys"],
        attributes: ["authorizer.*", "consumer.*", "api-key.*", "auth.*", "plan.*"],
        callouts: ["/callout"],
        secrets: ["/secret"]
    ),
];

/// The plugin of this name, if there is one.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static BuiltinPlugin> {
    BUILTIN_PLUGINS.iter().find(|plugin| plugin.name == name)
}
