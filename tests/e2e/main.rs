//! The behaviours of the gateway, one promise a test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(
    clippy::format_push_string,
    reason = "configurations are put together from pieces, and short"
)]
#![allow(
    clippy::float_cmp,
    reason = "the numbers of `/metrics` are floats, and what they count is whole"
)]

mod access_format;
mod access_log;
mod account;
mod activation;
mod admin;
mod admin_auth;
mod admin_keys;
mod admin_plans;
mod api_description;
mod api_key;
mod apis;
mod authorizer;
mod balance;
mod bodies;
mod bodiless;
mod book;
mod build;
mod callouts;
mod certificate_files;
mod certificates;
mod check;
mod check_filters;
mod cli_keys;
mod client_certificates;
mod client_limits;
mod commands;
mod conditions;
mod config;
mod cors;
mod dashboards;
mod demo;
mod distribution;
mod documents;
mod drain;
mod durability;
mod early_answers;
mod endpoints;
mod forged_identity;
mod forward_auth;
mod forwarded;
mod forwarding;
mod framing;
mod grpc;
mod handed_sockets;
mod handlers;
mod handover;
mod haproxy;
mod health;
mod http10;
mod http2;
mod http2_attacks;
mod http2_floods;
mod interim;
mod introspection;
mod jwt;
mod key_rejections;
mod large;
mod leave;
mod leaving_clients;
mod limits;
mod listeners;
mod load_limits;
mod log_files;
mod log_level;
mod loops;
mod many_keys;
mod metrics_format;
mod names;
mod nginx;
mod open_files;
mod openssl;
mod operator;
mod order;
mod path_rule;
mod path_spelling;
mod plan_checks;
mod plugin_dev;
mod plugin_inspect;
mod plugin_kits;
mod plugin_test;
mod preflights;
mod proofs;
mod proxy_protocol;
mod proxy_protocol_peers;
mod quota_changes;
mod rate_limit;
mod rates;
mod readme;
mod readmes;
mod refusals;
mod registry;
mod reload;
mod request_ids;
mod response_edits;
mod response_fields;
mod response_phases;
mod retries;
mod rewrites;
mod routing;
mod same_endpoint;
mod schema;
mod sdk_metadata;
mod security_headers;
mod server_names;
mod service_manager;
mod several;
mod signals;
mod silent_connections;
mod split;
mod stapling;
mod sticky;
mod store_moves;
mod testssl;
mod timeouts;
mod token_refusals;
mod traffic_metrics;
mod transform;
mod transform_bodies;
mod turned_away;
mod upgrade;
mod upstream_faults;
mod upstream_http2;
mod upstream_tls;
mod usage_plan;
mod wire;
