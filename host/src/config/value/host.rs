//! Hosts that a route answers to, and what goes upstream as `host`.

use super::Refused;
use super::address::{is_host, is_host_or_ipv6};
use crate::config::section::HostRule;

/// `api.example.com`, or `*.example.com` for every name below it. Lower-case.
pub(in crate::config) fn pattern(text: &str) -> Result<String, Refused> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_prefix("*.").unwrap_or(&lower);
    if is_host_or_ipv6(name) {
        return Ok(lower);
    }
    if lower == "*" {
        return Err(Refused::plain().help("leave `hosts` out to answer to every host"));
    }
    Err(mend(&lower, "only the name is compared"))
}

/// `preserve`, `endpoint`, or a name with or without a port.
pub(in crate::config) fn rule(text: &str) -> Result<HostRule, Refused> {
    match text {
        "preserve" => return Ok(HostRule::Preserve),
        "endpoint" => return Ok(HostRule::Endpoint),
        _other => {}
    }
    let word = text.to_ascii_lowercase();
    if word == "preserve" || word == "endpoint" {
        return Err(Refused::plain().write(&word));
    }
    literal(text).map(HostRule::Literal)
}

/// A name with or without a port.
pub(in crate::config) fn literal(text: &str) -> Result<String, Refused> {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse::<u16>().map_or("", |_| name)
        }
        Some(_) | None => text,
    };
    if is_host_or_ipv6(name) {
        Ok(text.to_owned())
    } else {
        Err(mend(text, "only the name and the port are sent"))
    }
}

/// Offers what is left without scheme, path and port.
fn mend(text: &str, why: &str) -> Refused {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let name = authority
        .rsplit_once(':')
        .map_or(authority, |(name, _)| name);
    let bare = name.strip_prefix("*.").unwrap_or(name);
    if name != text && is_host(bare) {
        Refused::plain().help(format!("{why}: write {}", super::quoted(name)))
    } else {
        Refused::plain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(pattern("API.example.com").as_deref(), Ok("api.example.com"));
        assert_eq!(pattern("*.example.com").as_deref(), Ok("*.example.com"));
        assert_eq!(pattern("[::1]").as_deref(), Ok("[::1]"));
        for bad in ["", "*", "*.", "a.*.b", "*a.b", "a..b", "a b"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
        for (bad, good) in [
            ("a.b:80", "a.b"),
            ("https://a.b/x", "a.b"),
            ("*.a.b:1", "*.a.b"),
        ] {
            let help = pattern(bad).unwrap_err().help.unwrap();
            assert!(help.ends_with(&format!("write `\"{good}\"`")), "{help}");
        }
    }

    #[test]
    fn rules() {
        assert_eq!(rule("preserve"), Ok(HostRule::Preserve));
        assert_eq!(rule("endpoint"), Ok(HostRule::Endpoint));
        assert_eq!(rule("a.b:80"), Ok(HostRule::Literal("a.b:80".to_owned())));
        assert_eq!(rule("a.b"), Ok(HostRule::Literal("a.b".to_owned())));
        for bad in [
            "",
            "a b",
            "a:99999",
            "https://a",
            "a\r\nb",
            ":80",
            "Preserve",
            "ENDPOINT",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }
}
