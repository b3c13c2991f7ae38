//! Keys of an upstream that exclude each other, leave each other no room, or are seldom meant together.

use super::{Endpoint, UpstreamConfig, UpstreamProtocol};
use crate::config::read::Table;
use crate::config::value::unit;

/// Reports the first kind, and warns of the others.
pub(super) fn check(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    shared_connections(table, upstream);
    if table.is_incomplete() {
        return;
    }
    total(table, upstream);
    connections(table, upstream);
    host(table, upstream);
    authority(table, upstream);
}

/// Reports a PROXY protocol on connections that many clients share.
fn shared_connections(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    let is_shared = upstream.protocol == UpstreamProtocol::Http2;
    if upstream.proxy_protocol.is_some() && is_shared && table.is_sound("protocol") {
        table
            .error_at(
                "proxy_protocol",
                "`proxy_protocol` names one client for a whole connection, and clients share a connection of `protocol = \"http2\"`",
            )
            .help("write `protocol = \"http1\"`, or leave `proxy_protocol` out and let the endpoints read `X-Forwarded-For`");
    }
}

/// Waits that end when all is over.
fn total(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    let Some(total) = upstream.total_timeout else {
        return;
    };
    let limits = &upstream.limits;
    let waits = [
        (
            table.has("connect_timeout") && table.is_sound("connect_timeout"),
            "connect_timeout",
            table.span_of("connect_timeout"),
            upstream.connect_timeout,
        ),
        (
            table.has_part("limits", "queue_timeout") && table.is_sound("limits"),
            "limits.queue_timeout",
            table.span_of_part("limits", "queue_timeout"),
            limits.queue_timeout,
        ),
    ];
    for (is_written, key, span, wait) in waits {
        if is_written && wait >= total && table.is_sound("total_timeout") {
            let (wait, total) = (unit::duration(wait), unit::duration(total));
            let message = format!(
                "`{key}` ({wait}) changes nothing: the whole exchange has no more than `total_timeout` ({total})"
            );
            table.warning(span, &message).help(format!(
                "make it shorter than `\"{total}\"`, or `total_timeout` longer"
            ));
        }
    }
}

/// More requests than there are connections for them.
fn connections(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    let is_http1 = match upstream.protocol {
        UpstreamProtocol::Http1 => true,
        UpstreamProtocol::Auto => upstream.tls.is_none(),
        UpstreamProtocol::Http2 => false,
    };
    let keys = ["limits", "protocol", "tls"];
    let (Some(active), Some(connections), true) = (
        upstream.limits.max_active,
        upstream.limits.max_connections,
        is_http1 && table.are_whole(&keys),
    ) else {
        return;
    };
    if active > connections {
        let message = format!(
            "`limits.max_active` ({active}) changes nothing: over HTTP/1.1 each active request has a connection of its own, and there are at most `max_connections` ({connections})"
        );
        table
            .warning(table.span_of_part("limits", "max_active"), &message)
            .help("raise `max_connections`, or leave `max_active` out");
    }
}

/// A public service over TLS that is asked for the gateway's own name.
fn host(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    let is_plain = upstream.tls.as_ref().is_some_and(|tls| tls.name.is_none());
    if table.has("host") || !is_plain || !table.are_whole(&["host"]) {
        return;
    }
    let is_public = |endpoint: &&Endpoint| {
        let name = endpoint.address.strip_suffix(":443");
        endpoint.socket().is_none() && name.is_some_and(|name| name.contains('.'))
    };
    if let Some(endpoint) = upstream.endpoints.iter().find(is_public) {
        let message = format!(
            "endpoint `{}` is asked for the host that the client sent: a service that tells hosts apart does not know that one",
            endpoint.address
        );
        table
            .warning(endpoint.span, &message)
            .help("write `host = \"endpoint\"`, or `host = \"preserve\"` if the client's is meant");
    }
}

/// Addresses whose certificates public authorities hardly ever sign.
fn authority(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    let is_public = upstream
        .tls
        .as_ref()
        .is_some_and(|tls| tls.verify && tls.ca.is_none() && tls.name.is_none());
    if !is_public || !table.are_whole(&["tls"]) {
        return;
    }
    let is_address = |endpoint: &&Endpoint| {
        let socket = endpoint.socket();
        socket.is_some_and(|socket| !socket.ip().is_loopback())
    };
    if let Some(endpoint) = upstream.endpoints.iter().find(is_address) {
        let message = format!(
            "the certificate of endpoint `{}` must hold that address and be signed by an authority that the system trusts, which is rare",
            endpoint.address
        );
        table.warning(endpoint.span, &message).help(
            "name what the certificate is for, `tls = { name = \"orders.internal\" }`, and who signed it, `ca = \"ca.pem\"`",
        );
    }
}
