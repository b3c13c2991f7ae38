//! URLs of servers that the gateway asks.

use std::net::IpAddr;

use http::Uri;

use super::Refused;
use super::name::line;

/// A URL of HTTP, without a user, a fragment or a password.
pub(in crate::config) fn http(text: &str) -> Result<String, Refused> {
    line(text)?;
    if text.contains('@') {
        let refused = Refused::because("has a user in it, which is never sent");
        return Err(refused.private());
    }
    if text.contains('#') {
        return Err(Refused::because("has a `#`, which a server never sees"));
    }
    let Ok(url) = text.parse::<Uri>() else {
        return Err(Refused::plain());
    };
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(text.to_owned()),
        (Some(_), _) => Err(Refused::plain()),
        (None, _) => Err(Refused::because("has no `https://` before it")),
    }
}

/// Whether what is fetched there can be changed on its way: no TLS, and not this machine.
pub(in crate::config) fn is_in_the_clear(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    url.scheme_str() == Some("http") && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_http() {
        for good in [
            "https://a.example/keys?x=1",
            "http://127.0.0.1:80/",
            "https://[::1]",
        ] {
            assert_eq!(http(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "a.example/keys",
            "ftp://a/",
            "https://",
            "https://a b",
            "https://a#b",
        ] {
            assert!(http(bad).is_err(), "{bad}");
        }
        let refused = http("https://user:s3cr3t@a.example").unwrap_err();
        assert!(refused.private && !format!("{refused:?}").contains("s3cr3t"));
    }

    #[test]
    fn only_this_machine_is_safe_without_tls() {
        for safe in [
            "https://a.example",
            "http://127.0.0.1:80/",
            "http://[::1]/",
            "http://localhost/",
        ] {
            assert!(!is_in_the_clear(&safe.parse().unwrap()), "{safe}");
        }
        for open in [
            "http://a.example",
            "http://10.0.0.1/",
            "http://localhost.example/",
        ] {
            assert!(is_in_the_clear(&open.parse().unwrap()), "{open}");
        }
    }
}
