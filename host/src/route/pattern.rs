//! Reads the path of a route: `/orders/{id}`, `/files/{rest+}`, `$default`.

use super::path::{decode_segment, normalize};

/// Segments of one pattern. It bounds how deep a look-up goes, whatever a client sends.
const MAX_SEGMENTS: usize = 128;

/// The path of a route, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Takes what no other route takes.
    Default,
    /// Takes what no other route takes, of what begins with these segments.
    Below { segments: Vec<Segment> },
    /// The segments of the path, and the names of the parameters among them, in order.
    Path {
        segments: Vec<Segment>,
        names: Vec<Box<str>>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, percent-decoded: `caf%C3%A9` and `café` are one literal.
    Literal(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Parameter,
    /// `{name+}`: all that is left of the path, at least one character.
    Greedy,
}

/// The fault of a pattern or a host, and its cure if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PatternError {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl PatternError {
    pub(super) fn new(message: String, help: impl Into<Option<String>>) -> Self {
        Self {
            message,
            help: help.into(),
        }
    }
}

/// Reads a pattern; the first thing wrong with it is the error.
pub(super) fn parse(path: &str) -> Result<Pattern, PatternError> {
    if path == "$default" {
        return Ok(Pattern::Default);
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err(not_absolute(path));
    };
    if path.contains('?') {
        return Err(PatternError::new(
            format!("path `{path}` has a query"),
            "a route matches the path alone; leave out what follows `?`".to_owned(),
        ));
    }
    let mut segments = Vec::new();
    let mut names: Vec<Box<str>> = Vec::new();
    let mut texts = rest.split('/').peekable();
    while let Some(text) = texts.next() {
        let is_last = texts.peek().is_none();
        segments.push(
            match text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'))
            {
                Some(name) => parameter(path, name, is_last, &mut names)?,
                None => literal(path, text, is_last)?,
            },
        );
    }
    if segments.len() > MAX_SEGMENTS {
        return Err(PatternError::new(
            format!(
                "path has {} segments; {MAX_SEGMENTS} are the most",
                segments.len()
            ),
            "end it with a greedy parameter such as `{rest+}`".to_owned(),
        ));
    }
    Ok(Pattern::Path { segments, names })
}

/// Reads a pattern that stands below a base path: literal segments, empty for none.
pub(super) fn parse_below(base: &str, path: &str) -> Result<Pattern, PatternError> {
    if base.is_empty() {
        return parse(path);
    }
    let Pattern::Path {
        segments: mut all,
        names: nothing,
    } = parse(base)?
    else {
        return Err(not_absolute(base));
    };
    let is_plain = nothing.is_empty() && all.last() != Some(&Segment::Literal("".into()));
    if !is_plain {
        return Err(PatternError::new(
            format!("base path `{base}` is not a list of fixed segments"),
            "write one such as `/shop/v1`".to_owned(),
        ));
    }
    match parse(path)? {
        Pattern::Default | Pattern::Below { .. } => Ok(Pattern::Below { segments: all }),
        Pattern::Path { segments, names } => {
            all.extend(segments);
            Ok(Pattern::Path {
                segments: all,
                names,
            })
        }
    }
}

fn not_absolute(path: &str) -> PatternError {
    let cure = match path {
        "default" => "write `$default` for the route that takes what no other takes".to_owned(),
        _ => format!("write `/{path}`"),
    };
    PatternError::new(format!("path `{path}` does not begin with `/`"), cure)
}

fn parameter(
    path: &str,
    text: &str,
    is_last: bool,
    names: &mut Vec<Box<str>>,
) -> Result<Segment, PatternError> {
    let (name, segment) = match text.strip_suffix('+') {
        Some(name) => (name, Segment::Greedy),
        None => (text, Segment::Parameter),
    };
    let is_name_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || !name.bytes().all(is_name_byte) {
        return Err(PatternError::new(
            format!("path `{path}` has a parameter `{{{text}}}` without a legal name"),
            "a name is letters, digits, `_`, `-` and `.`".to_owned(),
        ));
    }
    if segment == Segment::Greedy && !is_last {
        return Err(PatternError::new(
            format!("path `{path}` goes on after `{{{text}}}`"),
            format!(
                "a greedy parameter takes all that is left; put it last, or write `{{{name}}}` for one segment"
            ),
        ));
    }
    if names.iter().any(|known| **known == *name) {
        return Err(PatternError::new(
            format!("path `{path}` has two parameters named `{name}`"),
            None,
        ));
    }
    names.push(name.into());
    Ok(segment)
}

fn literal(path: &str, text: &str, is_last: bool) -> Result<Segment, PatternError> {
    if text.is_empty() && is_last {
        return Ok(Segment::Literal("".into()));
    }
    if let Some(complaint) = never_matches(path, text) {
        return Err(complaint);
    }
    let absolute = format!("/{text}");
    let normal = normalize(&absolute).map_err(|error| {
        PatternError::new(format!("path `{path}` can match no request: {error}"), None)
    })?;
    match normal.strip_prefix('/') {
        Some(segment) if !segment.is_empty() => {
            Ok(Segment::Literal(decode_segment(segment).into()))
        }
        Some(_) | None => Err(PatternError::new(
            format!("path `{path}` has a dot segment `{text}`"),
            "requests are matched after dot segments were resolved; write the path that comes out"
                .to_owned(),
        )),
    }
}

/// Texts that are written by habit from elsewhere and would silently match nothing.
fn never_matches(path: &str, text: &str) -> Option<PatternError> {
    if text.is_empty() {
        return Some(PatternError::new(
            format!("path `{path}` has an empty segment"),
            "requests are matched after `//` was merged to `/`; write one `/`".to_owned(),
        ));
    }
    if text.contains(['{', '}']) {
        return Some(PatternError::new(
            format!("path `{path}` has a brace inside the segment `{text}`"),
            "a parameter is a whole segment, as in `/orders/{id}`; `%7B` and `%7D` are literal braces".to_owned(),
        ));
    }
    if text.bytes().all(|byte| byte == b'*') {
        return Some(PatternError::new(
            format!("path `{path}` has a `{text}`, which matches nothing but itself"),
            "write `{name}` for one segment, `{rest+}` for all that is left, `%2A` for a literal star".to_owned(),
        ));
    }
    if let Some(name) = text.strip_prefix(':') {
        return Some(PatternError::new(
            format!("path `{path}` has a `{text}`, which matches nothing but itself"),
            format!("write `{{{name}}}` for a parameter, `%3A{name}` for a literal colon"),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.into())
    }

    #[test]
    fn patterns_are_read() {
        assert_eq!(parse("$default"), Ok(Pattern::Default));
        for (path, segments, names) in [
            ("/", vec![literal("")], vec![]),
            ("/a/", vec![literal("a"), literal("")], vec![]),
            (
                "/orders/{id}/x",
                vec![literal("orders"), Segment::Parameter, literal("x")],
                vec!["id"],
            ),
            (
                "/{a}/{b.c-d_1+}",
                vec![Segment::Parameter, Segment::Greedy],
                vec!["a", "b.c-d_1"],
            ),
            ("/café", vec![literal("café")], vec![]),
            ("/caf%c3%a9", vec![literal("café")], vec![]),
            (
                "/a%2Fb/items:batch",
                vec![literal("a/b"), literal("items:batch")],
                vec![],
            ),
        ] {
            let names = names.into_iter().map(Box::from).collect();
            assert_eq!(parse(path), Ok(Pattern::Path { segments, names }), "{path}");
        }
    }

    #[test]
    fn bad_patterns_are_told_with_a_cure() {
        for (path, message, help) in [
            (
                "orders",
                "path `orders` does not begin with `/`",
                "write `/orders`",
            ),
            (
                "default",
                "path `default` does not begin with `/`",
                "write `$default` for the route that takes what no other takes",
            ),
            (
                "/a//b",
                "path `/a//b` has an empty segment",
                "requests are matched after `//` was merged to `/`; write one `/`",
            ),
            (
                "/a?b",
                "path `/a?b` has a query",
                "a route matches the path alone; leave out what follows `?`",
            ),
            (
                "/{a}x",
                "path `/{a}x` has a brace inside the segment `{a}x`",
                "a parameter is a whole segment, as in `/orders/{id}`; `%7B` and `%7D` are literal braces",
            ),
            (
                "/{}",
                "path `/{}` has a parameter `{}` without a legal name",
                "a name is letters, digits, `_`, `-` and `.`",
            ),
            (
                "/{a*}",
                "path `/{a*}` has a parameter `{a*}` without a legal name",
                "a name is letters, digits, `_`, `-` and `.`",
            ),
            (
                "/{+}",
                "path `/{+}` has a parameter `{+}` without a legal name",
                "a name is letters, digits, `_`, `-` and `.`",
            ),
            (
                "/{r+}/a",
                "path `/{r+}/a` goes on after `{r+}`",
                "a greedy parameter takes all that is left; put it last, or write `{r}` for one segment",
            ),
            (
                "/{a}/{a}",
                "path `/{a}/{a}` has two parameters named `a`",
                "",
            ),
            (
                "/a/../b",
                "path `/a/../b` has a dot segment `..`",
                "requests are matched after dot segments were resolved; write the path that comes out",
            ),
            (
                "/a/%2e",
                "path `/a/%2e` has a dot segment `%2e`",
                "requests are matched after dot segments were resolved; write the path that comes out",
            ),
            (
                "/orders/*",
                "path `/orders/*` has a `*`, which matches nothing but itself",
                "write `{name}` for one segment, `{rest+}` for all that is left, `%2A` for a literal star",
            ),
            (
                "/orders/:id",
                "path `/orders/:id` has a `:id`, which matches nothing but itself",
                "write `{id}` for a parameter, `%3Aid` for a literal colon",
            ),
            (
                "/a%zz",
                "path `/a%zz` can match no request: the path has a `%` that two hexadecimal digits do not follow",
                "",
            ),
            (
                "/a b",
                "path `/a b` can match no request: the target has the character ' ', which must be percent-encoded",
                "",
            ),
        ] {
            let help = (!help.is_empty()).then(|| help.to_owned());
            assert_eq!(
                parse(path),
                Err(PatternError::new(message.to_owned(), help)),
                "{path}"
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        let complaint = parse(&"/a".repeat(MAX_SEGMENTS + 1)).unwrap_err();
        assert_eq!(complaint.message, "path has 129 segments; 128 are the most");
    }
}
