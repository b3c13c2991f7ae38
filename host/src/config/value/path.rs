//! A route's pattern: `/orders/{id}`, `/files/{rest+}`, or `$default`.
//!
//! Checked as text only; whether two patterns collide is the router's to say.

use super::name::is_name;
use super::{Refused, quoted};

/// The pattern that takes what no other takes.
const DEFAULT: &str = "$default";

pub(in crate::config) fn pattern(text: &str) -> Result<String, Refused> {
    if text == DEFAULT {
        return Ok(text.to_owned());
    }
    if matches!(text, "default" | "*" | "/*") {
        return Err(Refused::plain().help(format!(
            "write {} for everything that no other route matches, or `\"/{{rest+}}\"` for every path but `/`",
            quoted(DEFAULT)
        )));
    }
    if text.starts_with(['~', '^']) {
        let refused = Refused::because("is a regular expression, which no path has here");
        return Err(refused.help("write `{id}` for one segment, or `{rest+}` for all that follow"));
    }
    let Some(segments) = text.strip_prefix('/') else {
        return Err(Refused::because("does not begin with `/`").write(&format!("/{text}")));
    };
    characters(text)?;
    let mut names: Vec<&str> = Vec::new();
    let mut rest = segments.split('/').peekable();
    while let Some(segment) = rest.next() {
        let last = rest.peek().is_none();
        let Some(name) = parameter(text, segment, last)? else {
            literal(text, segment, last)?;
            continue;
        };
        if names.contains(&name) {
            return Err(Refused::because(format!(
                "has two parameters named `{name}`"
            )));
        }
        names.push(name);
    }
    Ok(text.to_owned())
}

/// Checks what stands before the paths of an API's routes: `/shop/v1`.
pub(in crate::config) fn base(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text == "/" {
        return Err(Refused::plain().help("leave `base_path` out where there is none"));
    }
    if let Some(shorter) = text.strip_suffix('/') {
        return Err(Refused::because("ends with `/`").write(shorter));
    }
    if text.contains(['{', '}']) {
        return Err(Refused::because(
            "has a parameter: it is the same for every request",
        ));
    }
    if text == DEFAULT {
        return Err(Refused::plain());
    }
    pattern(text)
}

/// The names of a pattern's parameters.
pub(crate) fn parameters(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter_map(|segment| {
        let inside = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(inside.strip_suffix('+').unwrap_or(inside))
    })
}

/// The name of a parameter's segment; none for a literal one.
fn parameter<'a>(text: &str, segment: &'a str, last: bool) -> Result<Option<&'a str>, Refused> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let inside = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(inside) = inside.filter(|inside| !inside.contains(['{', '}'])) else {
        let message = format!("has a parameter that is not a whole segment: `{segment}`");
        return Err(Refused::because(message)
            .help("a parameter is a whole segment between slashes, such as `/orders/{id}`"));
    };
    let name = inside.strip_suffix('+').unwrap_or(inside);
    if !is_name(name) {
        return Err(Refused::because(format!(
            "has a parameter without a proper name: `{segment}`"
        ))
        .help("names are letters, digits, `_` and `-`"));
    }
    if name != inside && !last {
        return Err(Refused::because(format!(
            "has a greedy parameter that is not last: `{segment}`"
        ))
        .write(&text.replacen(segment, &format!("{{{name}}}"), 1)));
    }
    Ok(Some(name))
}

fn literal(text: &str, segment: &str, last: bool) -> Result<(), Refused> {
    match segment {
        "" if last => Ok(()),
        "" => Err(Refused::because("has an empty segment: `//`")),
        "." | ".." => Err(Refused::because(format!(
            "has the segment `{segment}`, which no request has: it is resolved before routing"
        ))),
        "*" | "**" if last => Err(Refused::because("has `*`, which is no wildcard")
            .write(&format!("{}{{rest+}}", text.trim_end_matches('*')))),
        _other if segment.starts_with(':') => {
            let name = segment.trim_start_matches(':');
            let refused = Refused::because("has `:`, which marks no parameter here");
            Err(refused.write(&text.replacen(segment, &format!("{{{name}}}"), 1)))
        }
        _other => Ok(()),
    }
}

fn characters(text: &str) -> Result<(), Refused> {
    if let Some((path, _)) = text.split_once(['?', '#']) {
        return Err(
            Refused::because("holds a query or fragment: only the path is matched").write(path),
        );
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if let Some(odd) = text.chars().find(|c| odd(*c)) {
        let refused = Refused::because(format!("holds `{}`", odd.escape_debug()));
        return Err(match odd {
            ' ' => refused.write(&text.replace(' ', "%20")),
            _other => refused,
        });
    }
    let escapes = text.split('%').skip(1);
    for escape in escapes {
        let hex = escape.get(..2).unwrap_or_default();
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) || hex.len() != 2 {
            return Err(
                Refused::because("has a `%` without two hex digits").help("a `%` itself is `%25`")
            );
        }
        if hex == "00" {
            return Err(Refused::because(
                "holds `%00`, which every request is refused for",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for good in [
            "/",
            "$default",
            "/orders",
            "/orders/",
            "/orders/{id}",
            "/{a}/{b+}",
            "/a%20b",
            "/{rest+}",
        ] {
            assert_eq!(pattern(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "orders",
            "*",
            "/a//b",
            "/a/../b",
            "/.",
            "/{id}x",
            "/x{id}",
            "/{}",
            "/{+}",
            "/{a+}/b",
            "/{a}/{a}",
            "/{a}/{a+}",
            "/{{a}}",
            "/a?b",
            "/a#b",
            "/a b",
            "/a%",
            "/a%g0",
            "/a%0",
            "/a%00",
            "/a/*",
            "/:id",
            "/}{",
            "/a\\b",
            "/a\n",
        ] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_have_their_names() {
        let names: Vec<&str> = parameters("/a/{b}/c/{d+}").collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(parameters(DEFAULT).count(), 0);
    }

    #[test]
    fn bases() {
        for good in ["/shop", "/shop/v1", "/caf%C3%A9"] {
            assert_eq!(base(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "/",
            "shop",
            "/shop/",
            "/{tenant}",
            "$default",
            "/a//b",
            "/a?b",
            "/..",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_gateways_forms_are_translated() {
        for (theirs, ours) in [
            ("orders", "/orders"),
            ("/files/*", "/files/{rest+}"),
            ("/files/**", "/files/{rest+}"),
            ("/orders/:id", "/orders/{id}"),
            ("/{a+}/b", "/{a}/b"),
            ("/a?b=c", "/a"),
            ("/a b", "/a%20b"),
        ] {
            let help = pattern(theirs).unwrap_err().help.unwrap();
            assert_eq!(help, format!("write `\"{ours}\"`"));
            assert!(pattern(ours).is_ok(), "{ours}");
        }
    }
}
