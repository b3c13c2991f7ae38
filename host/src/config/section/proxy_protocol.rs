//! `proxy_protocol` of a `[[listener]]` and of an `[upstream.<name>]`.

use ipnet::IpNet;
use windlass_config_derive::{FromTable, Word};

use crate::config::field::{FromValue, Nested, Switch};
use crate::config::read::Table;
use crate::config::source::Span;

/// The PROXY protocol of clients' connections. The proxy names the client in a header of version 1
/// or 2 ahead of everything else on the connection, TLS included. Windlass then takes that address
/// for the client's everywhere: in `X-Forwarded-For`, rate limits, logs and attributes.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "proxy_protocol = { .. }", short = "from")]
#[hint("version" => "leave it out: Windlass reads both versions")]
#[hint("timeout" => "the header must come within `header_timeout` of the listener")]
pub struct ListenerProxyProtocol {
    /// The proxies that may send the header. Windlass never reads one from any other address.
    #[key(
        absent = "`[server] trusted_proxies`",
        synonyms = "trusted trusted_ips allow"
    )]
    pub from: Vec<IpNet>,
    /// Whether every connection must begin with the header: then Windlass closes connections without one,
    /// and those that do not come from the proxies. Without that, it serves these as they are.
    #[key(default = true)]
    pub required: bool,
    /// Whether all of [`Self::from`] could be read.
    #[key(with = is_from_whole)]
    pub(crate) is_from_whole: bool,
    /// The `proxy_protocol` value in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

fn is_from_whole(table: &mut Table<'_>) -> bool {
    table.are_whole(&["from"])
}

impl ListenerProxyProtocol {
    /// `proxy_protocol = true`.
    #[must_use]
    fn plain(span: Span) -> Self {
        Self {
            from: Vec::new(),
            required: true,
            is_from_whole: true,
            span,
        }
    }
}

impl FromValue for Option<ListenerProxyProtocol> {
    type Kind = Switch<ListenerProxyProtocol>;
    const KIND: Self::Kind = Switch {
        table: Nested::of::<ListenerProxyProtocol>(),
        on: ListenerProxyProtocol::plain,
    };
}

/// The version of the PROXY protocol that Windlass sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Word)]
#[hint("1 true text" => "write `\"v1\"`")]
#[hint("2 binary" => "write `\"v2\"`")]
pub enum ProxyProtocolVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}
