//! The endpoints of an upstream, each by itself and side by side.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use windlass_config_derive::FromTable;

use crate::config::MAX_WEIGHT;
use crate::config::field::Parsed;
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::address;

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "endpoints = [{ .. }]", short = "address")]
#[hint("zone" => "it is a label: `labels = { zone = \"a\" }`")]
#[hint("region" => "it is a label: `labels = { region = \"a\" }`")]
#[hint("tags" => "they are called `labels`: `labels = { zone = \"a\" }`")]
#[hint("backup" => "an endpoint that is to wait for others has `priority = 1`")]
#[hint("max_active" => "it is that of the upstream: `limits = { max_active = 100 }`")]
#[hint("max_connections" => "it is that of the upstream: `limits = { max_connections = 100 }`")]
#[hint("url host" => "it is called `address`: `address = \"10.0.0.1:8080\"`")]
#[hint("port" => "write it in the address: `address = \"10.0.0.1:8080\"`")]
pub struct Endpoint {
    /// Its IP address or name, with the port. A name stands for all its addresses; Windlass
    /// resolves it again when its TTL ends.
    #[key(required = "10.0.0.1:8080", kind = ADDRESS)]
    pub(crate) address: String,
    /// The address in the file.
    #[key(span_of = "address")]
    pub span: Span,
    /// Its share of the requests, relative to the others. 0 gets none.
    #[key(default = 1, within = 0..=MAX_WEIGHT)]
    pub weight: u32,
    /// Its tier. Windlass uses tier 0 first, and the next one when too few endpoints are available
    /// (`failover`).
    #[key(default = 0, within = 0..=15, synonyms = "tier")]
    pub(crate) priority: u8,
    /// Labels for the route hints of filters, and for `prefer`.
    #[key(absent = "none")]
    pub labels: BTreeMap<String, String>,
}

impl Endpoint {
    /// Its IP address and port; none of a name.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        self.address.parse().ok()
    }
}

const ADDRESS: Parsed<String> =
    Parsed::new("an IP address or a name, with a port", address::endpoint).matching(":[0-9]+$");

/// Reports endpoints that are there twice, and weights that leave nobody.
pub(super) fn weighed(table: &mut Table<'_>, endpoints: &[Endpoint]) {
    let idle = endpoints.iter().all(|endpoint| endpoint.weight == 0);
    if idle && !endpoints.is_empty() && table.is_sound("endpoints") {
        table
            .error_at(
                "endpoints",
                "every endpoint has weight 0, so none would take a request",
            )
            .help("give one of them a weight from 1 to 1000");
    }
    let of = format!("endpoint of {}", table.name());
    for endpoint in endpoints {
        let address = &endpoint.address;
        // `[0::1]:80` is `[::1]:80`, and names are the same in either case.
        let same = match endpoint.socket() {
            Some(socket) => socket.to_string(),
            None => address.to_ascii_lowercase(),
        };
        if let Some(line) = table.earlier(&of, &same, endpoint.span) {
            let message = format!("`{address}` is an endpoint already, in line {line}");
            table
                .error(endpoint.span, &message)
                .help("to give it a larger share, give it a larger `weight`");
        }
    }
}
