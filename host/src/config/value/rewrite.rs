//! New paths: `/v2/{id}` with parameters of the route's path, `/v2/$1` with groups of an expression.

use super::Refused;

/// A part of a new path, before its names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum NamedPart {
    Text(String),
    /// The name of a parameter, or the name or the number of a group.
    Value(String),
}

/// `/v2/{id}/{rest+}`; the `+` may be left out.
pub(in crate::config) fn with_parameters(text: &str) -> Result<Vec<NamedPart>, Refused> {
    starts_with_slash(text)?;
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(Refused::because("has a `{` without a `}`")
                .help("write a parameter as `{id}`, and a literal brace as `%7B`"));
        };
        push_text(&mut parts, before)?;
        let name = name.strip_suffix('+').unwrap_or(name);
        parts.push(NamedPart::Value(name.to_owned()));
        rest = after;
    }
    push_text(&mut parts, rest)?;
    no_dot_segments(text)?;
    Ok(parts)
}

/// `/v2/$1/${name}`; `$$` is a dollar sign.
pub(in crate::config) fn with_groups(text: &str) -> Result<Vec<NamedPart>, Refused> {
    starts_with_slash(text)?;
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        push_text(&mut parts, before)?;
        if let Some(after) = after.strip_prefix('$') {
            push_text(&mut parts, "$")?;
            rest = after;
            continue;
        }
        let (name, after) = group(after).ok_or_else(|| {
            Refused::because("has a `$` that no group follows")
                .help("write `$1` or `${name}` for a group, and `$$` for a dollar sign")
        })?;
        parts.push(NamedPart::Value(name.to_owned()));
        rest = after;
    }
    push_text(&mut parts, rest)?;
    no_dot_segments(text)?;
    Ok(parts)
}

/// The group at the beginning of a text, without its `$`, and what follows.
fn group(text: &str) -> Option<(&str, &str)> {
    if let Some(inside) = text.strip_prefix('{') {
        return inside.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let end = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(name, _)| !name.is_empty())
}

fn starts_with_slash(text: &str) -> Result<(), Refused> {
    match text.strip_prefix('/') {
        Some(_) => Ok(()),
        None => Err(Refused::because("does not begin with `/`").write(&format!("/{text}"))),
    }
}

/// A segment of dots would go elsewhere than it says.
fn no_dot_segments(text: &str) -> Result<(), Refused> {
    match text
        .split('/')
        .find(|segment| matches!(*segment, "." | ".."))
    {
        Some(segment) => Err(Refused::because(format!("has a dot segment `{segment}`"))
            .help("write the path that comes out")),
        None => Ok(()),
    }
}

/// Adds a text of characters that a path can have (RFC 3986 section 3.3).
fn push_text(parts: &mut Vec<NamedPart>, text: &str) -> Result<(), Refused> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c);
    if let Some(odd) = text.chars().find(|c| !is_path(*c)) {
        let refused = Refused::because(format!("holds `{}`", odd.escape_debug()));
        return Err(match odd {
            '?' => refused.help("only the path is rewritten: the query stays as it is"),
            _ => refused.help("escape it with `%` and two hex digits"),
        });
    }
    let mut escapes = text.split('%').skip(1);
    let is_escape =
        |rest: &str| rest.len() > 1 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !escapes.all(is_escape) {
        return Err(Refused::because(
            "has a `%` that two hex digits do not follow",
        ));
    }
    if !text.is_empty() {
        parts.push(NamedPart::Text(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> NamedPart {
        NamedPart::Text(text.to_owned())
    }

    fn value(name: &str) -> NamedPart {
        NamedPart::Value(name.to_owned())
    }

    #[test]
    fn parts_are_read() {
        let parts = vec![text("/a%2F/"), value("id"), text("-x/"), value("rest")];
        assert_eq!(with_parameters("/a%2F/{id}-x/{rest+}"), Ok(parts));
        let parts = vec![
            text("/"),
            value("1"),
            text("x"),
            value("name"),
            text("$"),
            text("1"),
        ];
        assert_eq!(with_groups("/$1x${name}$$1"), Ok(parts));
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in [
            "", "a", "/{id", "/a b", "/a?b", "/\u{e9}", "/%", "/%4", "/%4g", "/a/../b", "/a}",
        ] {
            assert!(with_parameters(bad).is_err(), "{bad}");
        }
        for bad in ["$1", "/$", "/$x", "/${", "/${}", "/{1}"] {
            assert!(with_groups(bad).is_err(), "{bad}");
        }
    }
}
