//! Finds the groups of routes for a request's host: its own name, `*.suffix` from the longest to the
//! shortest, then any host.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::pattern::PatternError;
use super::trie::{Methods, Node};

/// The longest name of a host, in bytes (RFC 1035 section 2.3.4). A longer one in a request is
/// nobody's, so that a name of ten thousand dots costs nothing.
const MAX_HOST: usize = 253;

/// One entry of a route's hosts, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// Any host: the route names none.
    Any,
    /// This name, in lower case, without port.
    Exact(Box<str>),
    /// Any name that ends in a dot and this one, with at least one label before.
    Suffix(Box<str>),
}

/// The routes of one host pattern.
#[derive(Debug, Default)]
pub(super) struct HostRoutes {
    pub(super) root: Node,
    pub(super) default: Methods,
}

/// All groups, found by host.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: BTreeMap<Box<str>, HostRoutes>,
    suffix: BTreeMap<Box<str>, HostRoutes>,
    any: HostRoutes,
}

impl Hosts {
    /// The group of a pattern, made where it is new.
    pub(super) fn routes(&mut self, host: &HostPattern) -> &mut HostRoutes {
        match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::Suffix(name) => self.suffix.entry(name.clone()).or_default(),
        }
    }

    /// The name that a request's host asks for, in lower case. Empty where no route can have
    /// named it.
    pub(super) fn request_name<'h>(&self, host: &'h str) -> Cow<'h, str> {
        if self.exact.is_empty() && self.suffix.is_empty() {
            return Cow::Borrowed("");
        }
        let name = host_name(host);
        if name.len() > MAX_HOST {
            Cow::Borrowed("")
        } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    }

    /// The groups that a name opens, the most specific first. It comes from
    /// [`Hosts::request_name`].
    pub(super) fn matching(&self, name: &str) -> impl Iterator<Item = &HostRoutes> {
        let dotted = (!self.suffix.is_empty()).then_some(name);
        let suffixes = dotted
            .into_iter()
            .flat_map(|name| name.match_indices('.'))
            .filter(|(place, _)| *place > 0)
            .filter_map(|(place, _)| self.suffix.get(name.get(place + 1..)?));
        self.exact
            .get(name)
            .into_iter()
            .chain(suffixes)
            .chain([&self.any])
    }
}

/// The name in a `Host` field: without its port (RFC 9110 section 7.2), without the dot of the
/// root at its end.
fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    let name = host.split(':').next().unwrap_or(host);
    name.strip_suffix('.').unwrap_or(name)
}

/// Reads one entry of a route's hosts.
pub(super) fn parse(host: &str) -> Result<HostPattern, PatternError> {
    let (name, is_suffix) = match host.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (host, false),
    };
    if host == "*" {
        return Err(PatternError::new(
            "host `*` is not a name".to_owned(),
            "leave `hosts` out for any host".to_owned(),
        ));
    }
    if name.contains('*') {
        return Err(PatternError::new(
            format!("host `{host}` has a `*` that is not its first label"),
            "a star stands for the labels in front: `*.example.com`".to_owned(),
        ));
    }
    if !name.is_ascii() {
        return Err(PatternError::new(
            format!("host `{host}` is not ASCII"),
            "write the form that clients send, which begins with `xn--`".to_owned(),
        ));
    }
    if host_name(name) != name {
        return Err(PatternError::new(
            format!("host `{host}` has a port or a dot at its end"),
            format!(
                "write `{}{}`",
                if is_suffix { "*." } else { "" },
                host_name(name)
            ),
        ));
    }
    if !is_host_name(name) || (is_suffix && name.starts_with('[')) {
        return Err(PatternError::new(
            format!("host `{host}` is not the name of a host"),
            "write a name such as `api.example.com` or `*.example.com`, without scheme and path"
                .to_owned(),
        ));
    }
    let name = name.to_ascii_lowercase().into_boxed_str();
    Ok(if is_suffix {
        HostPattern::Suffix(name)
    } else {
        HostPattern::Exact(name)
    })
}

/// Labels of letters, digits, `-` and `_` (RFC 1123 section 2.1, and the underscore that
/// internal names use), or an IPv6 address in brackets.
fn is_host_name(name: &str) -> bool {
    if let Some(address) = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= MAX_HOST && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        assert_eq!(
            parse("API.Example.com"),
            Ok(HostPattern::Exact("api.example.com".into()))
        );
        assert_eq!(
            parse("*.Example.com"),
            Ok(HostPattern::Suffix("example.com".into()))
        );
        assert_eq!(
            parse("localhost"),
            Ok(HostPattern::Exact("localhost".into()))
        );
        assert_eq!(parse("10.0.0.1"), Ok(HostPattern::Exact("10.0.0.1".into())));
        assert_eq!(
            parse("[2001:DB8::1]"),
            Ok(HostPattern::Exact("[2001:db8::1]".into()))
        );
    }

    #[test]
    fn bad_hosts_are_told_with_a_cure() {
        let no_name =
            "write a name such as `api.example.com` or `*.example.com`, without scheme and path";
        for (host, message, help) in [
            (
                "*",
                "host `*` is not a name",
                "leave `hosts` out for any host",
            ),
            (
                "api.*",
                "host `api.*` has a `*` that is not its first label",
                "a star stands for the labels in front: `*.example.com`",
            ),
            (
                "*a.com",
                "host `*a.com` has a `*` that is not its first label",
                "a star stands for the labels in front: `*.example.com`",
            ),
            (
                "a.com:80",
                "host `a.com:80` has a port or a dot at its end",
                "write `a.com`",
            ),
            (
                "*.a.com.",
                "host `*.a.com.` has a port or a dot at its end",
                "write `*.a.com`",
            ),
            (
                "bücher.de",
                "host `bücher.de` is not ASCII",
                "write the form that clients send, which begins with `xn--`",
            ),
            ("", "host `` is not the name of a host", no_name),
            ("a..b", "host `a..b` is not the name of a host", no_name),
            (
                "a.com/x",
                "host `a.com/x` is not the name of a host",
                no_name,
            ),
            ("[::zz]", "host `[::zz]` is not the name of a host", no_name),
        ] {
            let expected = PatternError::new(message.to_owned(), help.to_owned());
            assert_eq!(parse(host), Err(expected), "{host}");
        }
    }

    #[test]
    fn ports_and_the_root_dot_are_no_part_of_a_name() {
        for (host, name) in [
            ("a.com:8080", "a.com"),
            ("a.com.", "a.com"),
            ("a.com.:80", "a.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(host), name);
        }
    }
}
