//! Names: of sections, keys and environment variables, and free text.

use super::Refused;
pub(in crate::config) use crate::model::name::is_name;

pub(in crate::config) fn name(text: &str) -> Result<String, Refused> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    let mended = text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-");
    let refused = Refused::plain();
    Err(if is_name(&mended) {
        refused.write(&mended)
    } else {
        refused
    })
}

/// A name that may have dots, as hosts do: one token of HTTP.
pub(in crate::config) fn pseudonym(text: &str) -> Result<String, Refused> {
    match is_name(&text.replace('.', "-")) {
        true => Ok(text.to_owned()),
        false => Err(Refused::plain()),
    }
}

/// A user or a group of this machine, by its name or number.
pub(in crate::config) fn account(text: &str) -> Result<String, Refused> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err(Refused::plain()),
    }
}

/// Text for people and logs: not empty, one line, at most 256 bytes.
pub(in crate::config) fn line(text: &str) -> Result<String, Refused> {
    if text.is_empty() {
        Err(Refused::plain())
    } else if text.len() > 256 {
        Err(Refused::because(format!(
            "is {} bytes long, wanted at most 256",
            text.len()
        )))
    } else if text.chars().any(char::is_control) {
        Err(Refused::because("holds a control character"))
    } else {
        Ok(text.to_owned())
    }
}

/// Whether it can name an environment variable (POSIX, section 8.1; lower case too).
pub(in crate::config) fn is_variable(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit_first = text.starts_with(|c: char| c.is_ascii_digit());
    (1..=128).contains(&text.len()) && !digit_first && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "A-1_b", "0"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        assert_eq!(
            name("a b").unwrap_err().help.as_deref(),
            Some("write `\"a-b\"`")
        );
        assert_eq!(name("").unwrap_err().help, None);
        assert!(name(&"a".repeat(65)).is_err());
    }

    #[test]
    fn lines() {
        assert!(line("Acme Inc.").is_ok());
        assert!(line("").is_err());
        assert!(line("a\nb").is_err());
        assert!(line(&"a".repeat(257)).is_err());
    }

    #[test]
    fn variables() {
        assert!(is_variable("ORDERS_HMAC") && is_variable("_a1"));
        assert!(
            !is_variable("") && !is_variable("1A") && !is_variable("A B") && !is_variable("A-B")
        );
    }
}
