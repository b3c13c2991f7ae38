//! Field names that endpoints may take for one another.
//!
//! CGI, WSGI and PHP hand `x-tier`, `x_tier` and sometimes `x.tier` to an application as one variable
//! (RFC 3875 section 4.1.18). Pure; names are in lower case.

/// Whether the name has a character that another may be taken for: anything but letters, digits and `-`.
#[must_use]
pub(crate) fn is_ambiguous(name: &str) -> bool {
    let odd = |odd, byte: &u8| odd | !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    name.as_bytes().iter().fold(false, odd)
}

/// The name that an odd one can be taken for.
#[must_use]
pub(crate) fn normalize(name: &str) -> String {
    name.chars().map(plain_char).collect()
}

/// Whether these are two names that can be taken for each other.
#[must_use]
pub(crate) fn are_look_alikes(one: &str, other: &str) -> bool {
    let same = || {
        one.chars()
            .map(plain_char)
            .eq(other.chars().map(plain_char))
    };
    one.len() == other.len() && one != other && same()
}

fn plain_char(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_marks_only_are_look_alikes() {
        for (one, other) in [
            ("x-tier", "x_tier"),
            ("x_tier", "x-tier"),
            ("x.tier", "x_tier"),
            ("x-user-id", "x-user_id"),
        ] {
            assert!(are_look_alikes(one, other), "{one} {other}");
        }
        for (one, other) in [("x-tier", "x-tier"), ("x-tier", "xtier"), ("x-a", "x-b")] {
            assert!(!are_look_alikes(one, other), "{one} {other}");
        }
    }

    #[test]
    fn an_odd_name_has_its_plain_one() {
        assert!(is_ambiguous("x_real.ip") && !is_ambiguous("x-real-ip"));
        assert_eq!(normalize("x_real.ip"), "x-real-ip");
    }
}
