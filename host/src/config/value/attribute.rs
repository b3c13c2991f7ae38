//! Attribute names as `allow` lists them: `consumer.id`, `consumer.*`.

use super::Refused;

/// First words of the attributes that belong to the host, whatever is granted.
const HOST: [&str; 6] = ["client", "route", "request", "api", "upstream", "outcome"];

/// Whether it is an attribute's exact name: words of letters, digits, `-` and `_`, with dots between.
pub(in crate::config) fn is_name(text: &str) -> bool {
    let word = |word: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !word.is_empty() && word.bytes().all(allowed)
    };
    text.split('.').all(word)
}

/// An exact name, or a prefix with `.*`.
pub(in crate::config) fn pattern(text: &str) -> Result<String, Refused> {
    if text == "*" {
        return Err(Refused::plain().help("list them one by one, such as `\"consumer.*\"`"));
    }
    let exact = text.strip_suffix(".*").unwrap_or(text);
    if !is_name(exact) {
        return Err(Refused::plain());
    }
    let first = exact.split('.').next().unwrap_or_default();
    if HOST.contains(&first) {
        return Err(
            Refused::because("belongs to the gateway: no filter can write it")
                .help("remove it; reading needs no grant"),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for good in ["consumer.*", "api-key.id", "x", "a.b_c.*"] {
            assert_eq!(pattern(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "*",
            "a.",
            ".a",
            "a..b",
            "a*",
            "a.*.b",
            "a b",
            "client.ip",
            "route.*",
            "api.id",
        ] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
