//! `Via`: how a gateway notices that a request has come back to it (RFC 9110 section 7.6.3).
//!
//! Each route adds an entry of its own to the requests that it forwards. A request that a route meets
//! for the second time is in a loop, whatever other proxies or gateways were in between. A request that
//! passes several routes of one gateway is not. Parsing is lenient, since an entry is only ever
//! searched for.

use aws_lc_rs::digest;
use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

/// The entry that one route writes into `Via`, and looks for there.
#[derive(Debug, Clone)]
pub(crate) struct Via {
    /// `received-by`: the gateway's name and the route's mark.
    pseudonym: Box<str>,
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Default for Via {
    fn default() -> Self {
        Self::new("windlass", "")
    }
}

impl Via {
    /// The entry of this route of the gateway that has this name. The mark reveals nothing of the
    /// route, and is the same on every gateway of the same name.
    #[must_use]
    pub(crate) fn new(gateway: &str, route: &str) -> Self {
        let text = format!("{gateway}\n{route}");
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let mark = digest.as_ref().iter().take(4);
        let mark = mark.fold(0_u32, |mark, byte| mark << 8 | u32::from(*byte));
        Self::of(format!("{gateway}-{mark:08x}"))
    }

    fn of(pseudonym: String) -> Self {
        let value = |version: &str| {
            let value = HeaderValue::try_from(format!("{version} {pseudonym}"));
            value.unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        Self {
            http10: value("1.0"),
            http11: value("1.1"),
            http2: value("2.0"),
            pseudonym: pseudonym.into(),
        }
    }

    /// A copy whose reference counts nobody else touches.
    #[must_use]
    pub(crate) fn own_copy(&self) -> Self {
        Self::of(self.pseudonym.to_string())
    }

    /// Whether this route has sent the request on before.
    #[must_use]
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(VIA).iter();
        let entries = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let mut names = entries.filter_map(|entry| {
            let words = entry.split(u8::is_ascii_whitespace);
            words.filter(|word| !word.is_empty()).nth(1)
        });
        names.any(|name| name.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
    }

    /// Add the entry to a request that came over this version of HTTP.
    pub(crate) fn add(&self, version: Version, headers: &mut HeaderMap) {
        let entry = match version {
            Version::HTTP_2 => &self.http2,
            Version::HTTP_10 => &self.http10,
            _ => &self.http11,
        };
        headers.append(VIA, entry.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| (VIA, line.parse().unwrap()));
        lines.collect()
    }

    #[test]
    fn a_route_finds_its_own_entry_among_others() {
        let via = Via::new("edge", "orders");
        let name = &*via.pseudonym;
        for line in [
            format!("1.1 {name}"),
            format!("1.0 fred, 1.1 {name} (windlass)"),
            format!("HTTP/1.1  {name}, 2.0 other"),
            format!(",,1.1\t{}", name.to_uppercase()),
        ] {
            assert!(via.is_in(&headers(&["1.1 first", &line])), "{line}");
        }
    }

    #[test]
    fn others_are_not_its_own() {
        let via = Via::new("edge", "orders");
        for other in [Via::new("edge", "users"), Via::new("other", "orders")] {
            let mut headers = headers(&["1.1 edge", "edge-", "", "1.1"]);
            other.add(Version::HTTP_11, &mut headers);
            assert!(!via.is_in(&headers), "{headers:?}");
        }
        assert!(!via.is_in(&HeaderMap::new()));
    }

    #[test]
    fn an_entry_says_over_which_version_the_request_came() {
        let via = Via::new("edge", "orders");
        for (version, said) in [
            (Version::HTTP_10, "1.0 edge-"),
            (Version::HTTP_11, "1.1 edge-"),
            (Version::HTTP_2, "2.0 edge-"),
        ] {
            let mut headers = headers(&["1.1 before"]);
            via.add(version, &mut headers);
            let lines: Vec<_> = headers.get_all(VIA).iter().collect();
            assert_eq!(lines[0], "1.1 before");
            assert!(lines[1].to_str().unwrap().starts_with(said), "{lines:?}");
            assert!(via.is_in(&headers));
        }
    }

    #[test]
    fn gateways_of_one_name_share_an_entry() {
        let (one, other) = (Via::new("edge", "orders"), Via::new("edge", "orders"));
        let mut headers = HeaderMap::new();
        one.own_copy().add(Version::HTTP_2, &mut headers);
        assert!(other.is_in(&headers));
    }
}
