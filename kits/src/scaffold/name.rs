//! Which names a plugin may have: those that are a package's name in every language.

use super::CreateError;

/// The longest name.
const LONGEST: usize = 64;

/// Words that are no crate's name: keywords, and crates that the compiler or the kit brings.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "sdk",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "windlass",
    "windlass-plugin-sdk",
    "yield",
];

pub(crate) fn check(name: &str) -> Result<(), CreateError> {
    if !is_valid(name) {
        return Err(CreateError::Name {
            name: name.to_owned(),
            suggestion: Some(kebab(name)).filter(|name| is_valid(name)),
        });
    }
    if RESERVED.contains(&name) {
        return Err(CreateError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn is_valid(name: &str) -> bool {
    let is_word = |word: &str| {
        let mut letters = word.bytes();
        !word.is_empty() && letters.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(is_word)
}

/// The name in kebab case: `MyFilter_2` is `my-filter-2`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() || (letter.is_ascii_uppercase() && was_lower) {
            kebab.push('-');
        }
        if letter.is_ascii_alphanumeric() {
            kebab.push(letter.to_ascii_lowercase());
        }
        was_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    let words: Vec<_> = kebab.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_package_s_name_in_every_language() {
        for good in ["a", "team-check", "v2", "require-2-teams"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "A", "2fa", "a_b", "a--b", "-a", "a-", "a b", "ä", "../a", &long,
        ] {
            assert!(matches!(check(bad), Err(CreateError::Name { .. })), "{bad}");
        }
        for reserved in ["fn", "core", "test", "serde"] {
            assert!(
                matches!(check(reserved), Err(CreateError::Reserved(_))),
                "{reserved}"
            );
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_a_good_one() {
        for (bad, good) in [
            ("MyFilter", "my-filter"),
            ("my_filter", "my-filter"),
            ("My Filter 2", "my-filter-2"),
            ("HTTPAuth", "httpauth"),
        ] {
            let error = check(bad).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("begin with a letter: `{good}`")),
                "{error}"
            );
        }
        assert!(
            check("2")
                .unwrap_err()
                .to_string()
                .ends_with("begin with a letter")
        );
    }
}
