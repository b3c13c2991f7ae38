//! The texts of balancing: thresholds, hash keys, statuses, cookies.

use std::collections::BTreeSet;

use http::HeaderName;

use super::message::field_name;
use super::{Refused, attribute, nearest, path, there_are};
use crate::config::section::{HashKey, StatusRanges, Threshold};

/// The largest count of endpoints in a threshold.
const MOST: u32 = 10_000;

/// `"3"` or `"50%"`.
pub(in crate::config) fn threshold(text: &str) -> Result<Threshold, Refused> {
    let number = |text: &str, most| {
        let number = text.parse::<u32>().ok();
        number.filter(|number| *number <= most && !text.starts_with('+'))
    };
    match text.strip_suffix('%') {
        Some(percent) => number(percent, 100).map(Threshold::Percent),
        None => number(text, MOST).map(Threshold::Count),
    }
    .ok_or_else(Refused::plain)
}

/// `client`, `header:<name>`, `cookie:<name>`, `param:<name>`, `attribute:<name>`.
pub(in crate::config) fn hash_key(text: &str) -> Result<HashKey, Refused> {
    let Some((of, name)) = text.split_once(':') else {
        return match text {
            "client" => Ok(HashKey::Client),
            "header" | "cookie" | "param" | "attribute" => {
                Err(Refused::plain().help(format!("say which: `\"{text}:<name>\"`")))
            }
            "ip" | "source" | "address" | "client.ip" => {
                Err(Refused::plain().help("write `\"client\"`"))
            }
            _other => Err(match HeaderName::from_bytes(text.as_bytes()) {
                Ok(_) => Refused::plain().help(format!(
                    "say where the name belongs: `\"header:{text}\"`, `\"cookie:{text}\"` and so on"
                )),
                Err(_) => Refused::plain(),
            }),
        };
    };
    if name != name.trim() && hash_key(&format!("{of}:{}", name.trim())).is_ok() {
        return Err(Refused::because("has a space in it").write(&format!("{of}:{}", name.trim())));
    }
    match of {
        "header" => {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name =
                name.map_err(|_| Refused::because("names no field (RFC 9110, section 5.1)"))?;
            Ok(HashKey::Header(name))
        }
        "cookie" => cookie_name(name).map(HashKey::Cookie),
        "param" if !name.is_empty() && !name.contains(['{', '}', '+', '/']) => {
            Ok(HashKey::Param(name.to_owned()))
        }
        "param" => Err(Refused::because("names no parameter").help(
            "write the name as it stands in the route's path, without braces: `\"param:id\"`",
        )),
        "attribute" if attribute::is_name(name) => Ok(HashKey::Attribute(name.to_owned())),
        "attribute" => Err(Refused::because("names no attribute")),
        _other => Err(Refused::plain()),
    }
}

/// The cure for a parameter that none of these paths has.
pub(in crate::config) fn other_param<'a>(
    name: &str,
    paths: impl Iterator<Item = &'a str>,
) -> String {
    let known: BTreeSet<&str> = paths.flat_map(path::parameters).collect();
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return format!("did you mean `\"param:{meant}\"`?");
    }
    let none = format!("no path there has parameters: one is written `{{{name}}}`");
    there_are(known, &none)
}

/// The name of a cookie: a token (RFC 6265, section 4.1.1).
pub(in crate::config) fn cookie_name(text: &str) -> Result<String, Refused> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(Refused::because(
            "names no cookie: wanted at most 64 letters, digits and marks such as `_` and `-`",
        ));
    }
    Ok(text.to_owned())
}

/// The domain of a cookie (RFC 6265 section 4.1.2.3).
pub(in crate::config) fn cookie_domain(text: &str) -> Result<String, Refused> {
    if let Some(bare) = text
        .strip_prefix(['.', '*'])
        .map(|rest| rest.trim_start_matches('.'))
        && cookie_domain(bare).is_ok()
    {
        return Err(Refused::because(
            "begins with a mark that means nothing: the names below a domain always belong to it",
        )
        .write(bare));
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', ':']).next().unwrap_or_default();
    if bare != text && cookie_domain(bare).is_ok() {
        return Err(Refused::because("is more than a domain").write(bare));
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err(
            Refused::because("is an IP address, and browsers take a domain only")
                .help("leave it out: the cookie goes back to the host that set it"),
        );
    }
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 253 || !text.split('.').all(is_label) {
        return Err(Refused::because("is no domain"));
    }
    if !text.contains('.') {
        return Err(
            Refused::because("is a single word, and browsers take no cookie for one")
                .help("leave it out: the cookie goes back to the host that set it"),
        );
    }
    Ok(text.to_ascii_lowercase())
}

/// The path of a cookie (RFC 6265 section 4.1.1).
pub(in crate::config) fn cookie_path(text: &str) -> Result<String, Refused> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    let is_good = |text: &str| text.len() <= 1024 && text.bytes().all(is_plain);
    match text.strip_prefix('/') {
        Some(rest) if is_good(rest) => Ok(text.to_owned()),
        None if !text.is_empty() && is_good(text) => {
            Err(Refused::because("does not begin with `/`").write(&format!("/{text}")))
        }
        Some(_) | None => Err(Refused::because(
            "is no path of a cookie: wanted letters, digits and marks but `;`",
        )),
    }
}

/// A field of the response that says where a client belongs.
pub(in crate::config) fn sticky_field(text: &str) -> Result<HeaderName, Refused> {
    let cure = "name one of your own, such as `\"x-endpoint\"`";
    let name = field_name(text).map_err(|refused| refused.help(cure))?;
    match TAKEN.contains(&name.as_str()) {
        true => Err(Refused::because("is a field with a meaning of its own").help(cure)),
        false => Ok(name),
    }
}

/// Fields that clients or endpoints would take for something else (RFC 9110, RFC 6265).
const TAKEN: [&str; 8] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie",
    "host",
    "location",
    "set-cookie",
];

/// `"200-299,404"`.
pub(in crate::config) fn statuses(text: &str) -> Result<StatusRanges, Refused> {
    let status = |text: &str| {
        let text = text.trim();
        let number = text.parse::<u16>().ok().filter(|_| text.len() == 3);
        number.filter(|number| (100..=599).contains(number))
    };
    let range = |part: &str| {
        let (least, most) = part.split_once('-').unwrap_or((part, part));
        let range = status(least).zip(status(most));
        range.filter(|(least, most)| least <= most)
    };
    let ranges = text.split(',').map(|part| range(part).ok_or(part));
    ranges
        .collect::<Result<_, _>>()
        .map(StatusRanges)
        .map_err(|part| {
            let refused = Refused::because(format!(
                "holds `{}`, which is neither a status from 100 to 599 nor a range of them",
                part.trim().escape_debug()
            ));
            let meant = classes(text);
            match meant.split(',').all(|part| range(part).is_some()) {
                true => refused.write(&meant),
                false => refused.help("write them as `\"200-299,404\"`"),
            }
        })
}

/// A list of statuses that others write as `5xx`, or with other marks between them.
fn classes(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase().replace("..", "-");
    let parts = text
        .split([',', ';', '|', ' '])
        .filter(|part| !part.is_empty());
    let parts: Vec<String> = parts
        .map(
            |part| match part.strip_suffix("xx").or_else(|| part.strip_suffix("**")) {
                Some(class) => format!("{class}00-{class}99"),
                None => part.to_owned(),
            },
        )
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_counts_or_shares() {
        assert_eq!(threshold("0"), Ok(Threshold::Count(0)));
        assert_eq!(threshold("50%"), Ok(Threshold::Percent(50)));
        for bad in ["", "%", "101%", "-1", "+3", "3.5", "10001", "50 %"] {
            assert!(threshold(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hash_keys_say_of_what() {
        assert_eq!(hash_key("client"), Ok(HashKey::Client));
        let user = HeaderName::from_static("x-user");
        assert_eq!(hash_key("header:X-User"), Ok(HashKey::Header(user)));
        assert_eq!(hash_key("cookie:sid"), Ok(HashKey::Cookie("sid".into())));
        assert_eq!(hash_key("param:id"), Ok(HashKey::Param("id".into())));
        let attribute = HashKey::Attribute("consumer.id".into());
        assert_eq!(hash_key("attribute:consumer.id"), Ok(attribute));
        for bad in [
            "",
            "ip",
            "header",
            "header:",
            "header:a b",
            "cookie:",
            "cookie:a;b",
            "param:{id}",
            "attribute:",
            "attribute:a.*",
            "query:x",
        ] {
            assert!(hash_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains_of_cookies_are_names_of_two_words_at_least() {
        assert_eq!(cookie_domain("Example.com"), Ok("example.com".to_owned()));
        for (bad, cure) in [
            (".example.com", "write `\"example.com\"`"),
            ("*.example.com", "write `\"example.com\"`"),
            ("https://example.com/", "write `\"example.com\"`"),
            ("example.com:8443", "write `\"example.com\"`"),
            (
                "10.0.0.1",
                "leave it out: the cookie goes back to the host that set it",
            ),
            (
                "localhost",
                "leave it out: the cookie goes back to the host that set it",
            ),
        ] {
            assert_eq!(cookie_domain(bad).unwrap_err().help.unwrap(), cure, "{bad}");
        }
        for bad in ["", ".", "a b.com", "a;b.com", "-a.com", "a..com"] {
            assert!(cookie_domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_of_cookies_hold_nothing_that_ends_them() {
        assert!(cookie_path("/").is_ok() && cookie_path("/a/b").is_ok());
        let help = cookie_path("a/b").unwrap_err().help.unwrap();
        assert_eq!(help, "write `\"/a/b\"`");
        for bad in ["", "/a;b", "/a b", "/a\n", "/é"] {
            assert!(cookie_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sticky_field_has_no_other_meaning() {
        assert!(sticky_field("X-Endpoint").is_ok());
        for bad in ["cookie", "Set-Cookie", "host", "connection", "a b"] {
            let help = sticky_field(bad).unwrap_err().help.unwrap();
            assert!(help.ends_with("`\"x-endpoint\"`"), "{bad}: {help}");
        }
    }

    #[test]
    fn classes_of_statuses_are_translated() {
        for (theirs, ours) in [
            ("5xx", "500-599"),
            ("2XX,404", "200-299,404"),
            ("502 503", "502,503"),
            ("4xx|5xx", "400-499,500-599"),
            ("500..599", "500-599"),
        ] {
            let help = statuses(theirs).unwrap_err().help.unwrap();
            assert_eq!(help, format!("write `\"{ours}\"`"));
            assert!(statuses(ours).is_ok(), "{ours}");
        }
        for bad in ["6xx", "xx", "axx", ""] {
            let help = statuses(bad).unwrap_err().help.unwrap();
            assert_eq!(help, "write them as `\"200-299,404\"`", "{bad}");
        }
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let ranges = statuses("200-299, 404").unwrap();
        assert!(ranges.holds(204) && ranges.holds(404) && !ranges.holds(403));
        for bad in [
            "", "2xx", "200-", "299-200", "99", "600", "200,,404", "0200",
        ] {
            assert!(statuses(bad).is_err(), "{bad}");
        }
    }
}
