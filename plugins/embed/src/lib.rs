//! The first-party plugins as components, for `builtin:<name>`.
//!
//! The build script builds them for WebAssembly in a separate target folder, and this crate embeds the files. The
//! gateway's configuration refers to them by name. Each plugin has exactly the grants that its README lists (a test
//! compares them). This crate deliberately does not load, compile or inspect components.

use std::time::Duration;

/// The CPU time of one call if the configuration has no `limits.cpu`.
const CALL: Duration = Duration::from_millis(10);

/// A first-party plugin, and its grants if the configuration has no `allow`.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinPlugin {
    /// The name after `builtin:`.
    pub name: &'static str,
    /// The bytes of the component.
    pub component: &'static [u8],
    /// JSON Schema of its settings, which the component gives, too.
    pub settings_schema: &'static str,
    /// The CPU time of one call if the configuration has no `limits.cpu`.
    pub cpu: Duration,
    /// The host interfaces that it may use, by their names in `allow.interfaces`.
    pub interfaces: &'static [&'static str],
    /// The attributes that it may set, as in `allow.attributes`; `*` ends a prefix.
    pub attributes: &'static [&'static str],
    /// JSON pointers to the settings that name a `[callout.<name>]`. The plugin may use the callouts named there.
    pub callouts: &'static [&'static str],
    /// JSON pointers to the settings that name a `[secret.<name>]`. The plugin may use the secrets named there.
    pub secrets: &'static [&'static str],
}

/// One row of the table. The build script has put the component of that name into `OUT_DIR`.
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
            settings_schema: include_str!(concat!("../../", $name, "/settings.schema.json")),
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
        // The first call after a change of the configuration assembles the whole document.
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
