//! `sha256:` and 64 hex digits: what is kept of an API key.
//!
//! Anything else may be the key itself, so the caller masks it: no report shows it.

use super::Refused;
use crate::model::sha256::Sha256;

const PREFIX: &str = "sha256:";

pub(in crate::config) fn parse(text: &str) -> Result<[u8; 32], Refused> {
    let Some(hex) = text.strip_prefix(PREFIX) else {
        return Err(
            Refused::because("is not a digest: this looks like a key itself").help(
                "never put a key into the file: `windlass key new` makes one and prints its digest",
            ),
        );
    };
    let digest = Sha256::from_hex(hex).map(Sha256::bytes);
    digest.ok_or_else(|| {
        let length = hex.chars().count();
        let message = if length == 64 {
            "holds something else than hex digits after `sha256:`".to_owned()
        } else {
            format!("has {length} characters after `sha256:`, wanted 64 hex digits")
        };
        Refused::because(message).help("`windlass key new` makes a key and prints its digest")
    })
}

pub(in crate::config) fn is_digest(text: &str) -> bool {
    parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case() {
        let text = format!("sha256:{}", "0aFf".repeat(16));
        let digest = parse(&text).unwrap();
        assert_eq!(digest.first_chunk(), Some(&[0x0a, 0xff, 0x0a, 0xff]));
        assert!(is_digest(&text));
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        let near = format!("sha256:{}", "g".repeat(64));
        for text in [
            "",
            "wl_secret",
            "sha256:",
            "sha256:abcd",
            "SHA256:00",
            near.as_str(),
        ] {
            let refused = parse(text).unwrap_err();
            let said = format!("{refused:?}");
            assert!(text.len() < 8 || !said.contains(text), "{said}");
        }
    }
}
