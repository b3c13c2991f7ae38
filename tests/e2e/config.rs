//! Parts of configurations.

use std::net::SocketAddr;

use windlass_tests::{Gateway, key_digest};

/// An upstream with these endpoints.
pub(crate) fn upstream(name: &str, endpoints: &[SocketAddr]) -> String {
    let endpoints = endpoints.iter();
    let endpoints: Vec<_> = endpoints
        .map(|address| format!("{{ address = \"{address}\" }}"))
        .collect();
    format!(
        "\n[upstream.{name}]\nendpoints = [{}]\n",
        endpoints.join(", ")
    )
}

/// A route that sends every request to this endpoint.
pub(crate) fn all_to(endpoint: SocketAddr) -> String {
    format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n{}",
        upstream("app", &[endpoint])
    )
}

/// A route that sends every request through these filters to this endpoint.
pub(crate) fn filtered(filters: &[&str], endpoint: SocketAddr) -> String {
    let filters = format!("path = \"$default\"\nfilters = {filters:?}");
    all_to(endpoint).replacen("path = \"$default\"", &filters, 1)
}

/// A key of a consumer; `more` is appended to its entry.
pub(crate) fn key(id: &str, consumer: &str, key: &str, more: &str) -> String {
    let digest = key_digest(key);
    format!("\n[[key]]\nid = \"{id}\"\nconsumer = \"{consumer}\"\ndigest = \"{digest}\"\n{more}\n")
}

/// The filter `keys`: `builtin:api-key` with these settings.
pub(crate) fn api_key(settings: &str) -> String {
    format!("\n[filter.keys]\nplugin = \"builtin:api-key\"\nsettings = {settings}\n")
}

/// A `builtin:transform` of this name with these settings.
pub(crate) fn transform(name: &str, settings: &str) -> String {
    format!("\n[filter.{name}]\nplugin = \"builtin:transform\"\nsettings = {settings}\n")
}

/// A transform that appends its name to `x-order` of the request and of the response.
pub(crate) fn stamp(name: &str) -> String {
    let edit = format!("[{{ op = \"append\", header = \"x-order\", value = \"{name}\" }}]");
    transform(name, &format!("{{ request = {edit}, response = {edit} }}"))
}

pub(crate) fn start(parts: &[&str]) -> Gateway {
    Gateway::with_config(parts.concat()).start()
}
