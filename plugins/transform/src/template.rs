//! Templates: text with `${...}` in it.
//!
//! They are parsed once, in `configure`, and rendered for each exchange. `$${` is a literal `${`.

use crate::json::Pointer;

/// The value that a `${...}` inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// `${request.method}`
    RequestMethod,
    /// `${request.path}`: the path without its query, still percent-encoded.
    RequestPath,
    /// `${request.header.NAME}`
    RequestHeader(String),
    /// `${request.query.NAME}`
    RequestQuery(String),
    /// `${response.header.NAME}`
    ResponseHeader(String),
    /// `${request.body/POINTER}` or `${response.body/POINTER}`: a value of the edited body.
    Body(Pointer),
    /// `${path.NAME}`, or `${path.NAME+}`, which keeps its slashes in a path.
    PathParameter { name: String, greedy: bool },
    /// `${attribute.NAME}`, or `${attribute.NAME!}`, which requires the attribute.
    Attribute { name: String, required: bool },
}

/// A literal or a value of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Fact(Fact),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// The messages that a template can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The error, and how to fix it.
    pub fn parse(text: &str, side: Side) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, from) = rest.split_at(dollar);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("$${") {
                literal.push_str("${");
                rest = after;
            } else if let Some(after) = from.strip_prefix("${") {
                let (name, after) = after
                    .split_once('}')
                    .ok_or("`${` has no `}`; write `$${` for a literal `${`")?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(core::mem::take(&mut literal)));
                }
                parts.push(Part::Fact(Fact::parse(name, side)?));
                rest = after;
            } else {
                literal.push('$');
                rest = from.strip_prefix('$').unwrap_or_default();
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// Inserts the values. `None` if one of them is absent.
    pub fn render(&self, mut read: impl FnMut(&Fact) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut rendered = Vec::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => rendered.extend_from_slice(literal.as_bytes()),
                Part::Fact(fact) => {
                    let value = read(fact)?;
                    if rendered.is_empty() {
                        rendered = value;
                    } else {
                        rendered.extend_from_slice(&value);
                    }
                }
            }
        }
        Some(rendered)
    }

    /// The text, if the template inserts nothing.
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Literal(literal)] => Some(literal),
            [Part::Fact(_)] | [_, _, ..] => None,
        }
    }

    /// All values that the template inserts.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Fact(fact) => Some(fact),
        })
    }

    /// Whether the template inserts a value of the body.
    pub fn names_body(&self) -> bool {
        self.facts().any(|fact| matches!(fact, Fact::Body(_)))
    }

    /// Whether the template inserts an attribute.
    pub fn names_attribute(&self) -> bool {
        self.facts()
            .any(|fact| matches!(fact, Fact::Attribute { .. }))
    }

    /// Whether endpoints may trust the value, because it contains an attribute or a path parameter.
    /// The client's own value must not be mistaken for it.
    pub fn vouches(&self) -> bool {
        self.facts()
            .any(|fact| matches!(fact, Fact::Attribute { .. } | Fact::PathParameter { .. }))
    }

    /// All literals in the template.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(literal) => Some(literal.as_str()),
            Part::Fact(_) => None,
        })
    }
}

impl Fact {
    fn parse(text: &str, side: Side) -> Result<Self, String> {
        if let Some(body) = Self::body(text, side) {
            return body;
        }
        let lower = |name: &str| name.to_ascii_lowercase();
        let fact = match text {
            "request.method" => Some(Self::RequestMethod),
            "request.path" => Some(Self::RequestPath),
            _ => None,
        };
        let named = |prefix| {
            text.strip_prefix(prefix)
                .filter(|name: &&str| !name.is_empty())
        };
        let fact = fact
            .or_else(|| named("request.header.").map(|name| Self::RequestHeader(lower(name))))
            .or_else(|| named("request.query.").map(|name| Self::RequestQuery(name.to_owned())))
            .or_else(|| named("response.header.").map(|name| Self::ResponseHeader(lower(name))))
            .or_else(|| named("path.").and_then(Self::path_parameter))
            .or_else(|| named("attribute.").and_then(Self::attribute));
        match fact {
            Some(Self::ResponseHeader(_)) if side == Side::Request => Err(format!(
                "`${{{text}}}` is not there yet: a request's edit comes before the response"
            )),
            Some(fact) => Ok(fact),
            None => Err(format!(
                "`${{{text}}}` names nothing: there are request.method, request.path, \
                 request.header.NAME, request.query.NAME, request.body/POINTER, path.NAME, \
                 attribute.NAME and, in a response's edit, response.header.NAME and \
                 response.body/POINTER"
            )),
        }
    }

    /// A value of a body; `None` if the text names something else.
    fn body(text: &str, side: Side) -> Option<Result<Self, String>> {
        let of = |prefix: &str| {
            let pointer = text.strip_prefix(prefix)?;
            (pointer.is_empty() || pointer.starts_with('/')).then_some(pointer)
        };
        let (pointer, absent) = match (of("request.body"), of("response.body"), side) {
            (Some(pointer), _, Side::Request) | (_, Some(pointer), Side::Response) => {
                (pointer, None)
            }
            (Some(pointer), _, Side::Response) => (
                pointer,
                Some(
                    "is not there any more: a response's edit comes after the request's body has \
                     gone. Put the value into a header of the request, and read that",
                ),
            ),
            (_, Some(pointer), Side::Request) => (
                pointer,
                Some("is not there yet: a request's edit comes before the response"),
            ),
            (None, None, _) => return None,
        };
        Some(match absent {
            Some(absent) => Err(format!("`${{{text}}}` {absent}")),
            None => Pointer::parse(pointer).map(Self::Body),
        })
    }

    fn path_parameter(text: &str) -> Option<Self> {
        let (name, greedy) = match text.strip_suffix('+') {
            Some(name) => (name, true),
            None => (text, false),
        };
        (!name.is_empty()).then(|| Self::PathParameter {
            name: name.to_owned(),
            greedy,
        })
    }

    fn attribute(text: &str) -> Option<Self> {
        let (name, required) = match text.strip_suffix('!') {
            Some(name) => (name, true),
            None => (text, false),
        };
        (!name.is_empty()).then(|| Self::Attribute {
            name: name.to_owned(),
            required,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Template {
        Template::parse(text, Side::Response).expect("a good template")
    }

    fn literal(text: &str) -> Part {
        Part::Literal(text.to_owned())
    }

    #[test]
    fn literals_and_facts_take_turns() {
        assert_eq!(
            parse("a-${request.header.X-Id}-${path.id}").0,
            [
                literal("a-"),
                Part::Fact(Fact::RequestHeader("x-id".into())),
                literal("-"),
                Part::Fact(Fact::PathParameter {
                    name: "id".into(),
                    greedy: false
                }),
            ]
        );
    }

    #[test]
    fn every_fact_has_its_name() {
        let fact = |text: &str| parse(&format!("${{{text}}}")).facts().next().cloned();
        assert_eq!(fact("request.method"), Some(Fact::RequestMethod));
        assert_eq!(fact("request.path"), Some(Fact::RequestPath));
        assert_eq!(
            fact("request.query.Q"),
            Some(Fact::RequestQuery("Q".into()))
        );
        assert_eq!(
            fact("response.header.Age"),
            Some(Fact::ResponseHeader("age".into()))
        );
        assert_eq!(
            fact("response.body/a/0"),
            Pointer::parse("/a/0").ok().map(Fact::Body)
        );
        assert_eq!(
            fact("path.rest+"),
            Some(Fact::PathParameter {
                name: "rest".into(),
                greedy: true
            })
        );
        assert_eq!(
            fact("attribute.consumer.id!"),
            Some(Fact::Attribute {
                name: "consumer.id".into(),
                required: true
            })
        );
    }

    #[test]
    fn dollars_are_literal_unless_they_open() {
        for (text, literal) in [
            ("$", "$"),
            ("a$b$$c", "a$b$$c"),
            ("$${request.path}", "${request.path}"),
            ("$$${x}", "$${x}"),
            ("}{", "}{"),
            ("", ""),
        ] {
            assert_eq!(parse(text).as_literal(), Some(literal), "{text}");
        }
    }

    #[test]
    fn a_bad_template_says_why() {
        let complaint = |text| Template::parse(text, Side::Request).unwrap_err();
        assert!(complaint("a${request.path").starts_with("`${` has no `}`"));
        for text in [
            "${}",
            "${request.heder.x}",
            "${path.}",
            "${path.+}",
            "${attribute.!}",
        ] {
            assert!(
                complaint(text).starts_with(&format!("`{text}` names nothing")),
                "{text}"
            );
        }
        assert!(complaint("${response.header.age}").contains("is not there yet"));
        assert!(complaint("${response.body/a}").contains("is not there yet"));
        assert!(complaint("${request.body/~2}").contains("has a `~`"));
        assert!(complaint("${request.body.a}").contains("request.body/POINTER"));
        let late = Template::parse("${request.body/a}", Side::Response).unwrap_err();
        assert!(late.contains("is not there any more"), "{late}");
    }

    #[test]
    fn a_template_without_one_of_its_facts_renders_nothing() {
        let template = parse("${request.header.a}/${request.header.b}");
        let both = template.render(|_| Some(b"x".to_vec()));
        assert_eq!(both.as_deref(), Some(b"x/x".as_slice()));
        let one = template
            .render(|fact| (*fact == Fact::RequestHeader("a".into())).then(|| b"x".to_vec()));
        assert_eq!(one, None);
    }
}
