//! The endpoints of an upstream, each by itself and side by side.

use std::net::SocketAddr;

use super::balance::LABELS as LABEL_MAP;
use crate::config::field::{Empty, Entries, Field, Is, Map, Parsed, Required, Section, Whole};
use crate::config::model::Endpoint;
use crate::config::read::Table;
use crate::config::value::address;

pub(super) static ENDPOINTS: Field<Entries<Endpoint>, Required> = Field::new(
    "endpoints",
    Entries {
        section: &ENDPOINT,
        least: 1,
        few: "add one: `endpoints = [{ address = \"10.0.0.1:8080\" }]`",
        title: None,
        read: endpoint,
    },
    Required("[{ address = \"10.0.0.1:8080\" }]"),
    "Its endpoints, at least one.",
);

static ENDPOINT: Section = Section {
    heading: "endpoints = [{ .. }]",
    doc: "One address of an upstream.",
    fields: &[&ADDRESS, &WEIGHT, &PRIORITY, &LABELS],
    hints: &[
        ("zone", "it is a label: `labels = { zone = \"a\" }`"),
        ("region", "it is a label: `labels = { region = \"a\" }`"),
        (
            "tags",
            "they are called `labels`: `labels = { zone = \"a\" }`",
        ),
        (
            "backup",
            "an endpoint that is to wait for others has `priority = 1`",
        ),
        ("tier", "it is called `priority`"),
        (
            "max_active",
            "it is that of the upstream: `limits = { max_active = 100 }`",
        ),
        (
            "max_connections",
            "it is that of the upstream: `limits = { max_connections = 100 }`",
        ),
        (
            "url",
            "it is called `address`: `address = \"10.0.0.1:8080\"`",
        ),
        (
            "host",
            "it is called `address`: `address = \"10.0.0.1:8080\"`",
        ),
        (
            "port",
            "write it in the address: `address = \"10.0.0.1:8080\"`",
        ),
    ],
    short: Some("address"),
    private: false,
};

static ADDRESS: Field<Parsed<String>, Required> = Field::new(
    "address",
    Parsed {
        words: "an IP address or a name, with a port",
        pattern: ":[0-9]+$",
        private: false,
        parse: |text, _| address::endpoint(text),
    },
    Required("\"10.0.0.1:8080\""),
    "Its IP address or name, with the port; a name stands for all its addresses, and is asked for again as its TTL says.",
);

static WEIGHT: Field<Whole<u32>, Is<u32>> = Field::new(
    "weight",
    Whole {
        least: 0,
        most: 1000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(1),
    "Its share of the requests, relative to the others; 0 takes none.",
);

static PRIORITY: Field<Whole<u8>, Is<u8>> = Field::new(
    "priority",
    Whole {
        least: 0,
        most: 15,
        of: |number| u8::try_from(number).ok(),
    },
    Is(0),
    "Its group: 0 is used first, the next one when too few of it are available (`failover`).",
);

static LABELS: Field<Map<Parsed<String>>, Empty> = Field::new(
    "labels",
    LABEL_MAP,
    Empty("none"),
    "For route hints of filters, and `prefer`.",
);

fn endpoint(table: &mut Table<'_>) -> Option<Endpoint> {
    let address = table.take(&ADDRESS);
    let weight = table.take(&WEIGHT);
    let priority = table.take(&PRIORITY);
    let labels = table.take(&LABELS);
    Some(Endpoint {
        address: address?,
        span: table.span_of(ADDRESS.key),
        weight,
        priority,
        labels,
    })
}

/// Reports endpoints that are there twice, and weights that leave nobody.
pub(super) fn weighed(table: &mut Table<'_>, endpoints: &[Endpoint]) {
    let idle = endpoints.iter().all(|endpoint| endpoint.weight == 0);
    if idle && !endpoints.is_empty() && table.is_sound(ENDPOINTS.key) {
        let span = table.span_of(ENDPOINTS.key);
        table
            .error(
                span,
                "every endpoint has weight 0, so none would take a request",
            )
            .help("give one of them a weight from 1 to 1000");
    }
    let of = format!("endpoint of {}", table.name());
    for endpoint in endpoints {
        let address = &endpoint.address;
        // `[0::1]:80` is `[::1]:80`, and names are the same in either case.
        let same = match address.parse::<SocketAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => address.to_ascii_lowercase(),
        };
        if let Some(line) = table.earlier(&of, &same, endpoint.span) {
            let message = format!("`{address}` is an endpoint already, in line {line}");
            table
                .error(endpoint.span, &message)
                .help("to give it a larger share, give it a larger `weight`");
        }
    }
}
