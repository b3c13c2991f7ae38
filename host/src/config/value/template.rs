//! The body of a response with `${code}` and the like in it.
//!
//! `$${` is a literal `${`, as in the templates of the `transform` plugin.

use super::{Refused, nearest};
use crate::config::section::ResponsePart;

/// The names of parts of an error.
const VARIABLES: [(&str, ResponsePart); 4] = [
    ("status", ResponsePart::Status),
    ("code", ResponsePart::Code),
    ("message", ResponsePart::Message),
    ("request_id", ResponsePart::RequestId),
];

/// Why a template is refused, and what of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct Unknown {
    /// From its `${` on, as it stands in the text.
    pub(crate) text: String,
    pub(crate) refused: Refused,
}

/// Reads a template; the first thing wrong with it is the error.
pub(in crate::config) fn parse(text: &str) -> Result<Vec<ResponsePart>, Unknown> {
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
            let (part, after) = variable(after)?;
            if !literal.is_empty() {
                parts.push(ResponsePart::Text(std::mem::take(&mut literal)));
            }
            parts.push(part);
            rest = after;
        } else {
            literal.push('$');
            rest = from.strip_prefix('$').unwrap_or_default();
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(ResponsePart::Text(literal));
    }
    Ok(parts)
}

/// The part that is named after `${`, and the text after it.
fn variable(after: &str) -> Result<(ResponsePart, &str), Unknown> {
    let Some((name, rest)) = after.split_once('}') else {
        return Err(Unknown {
            text: "${".to_owned(),
            refused: Refused::because("has a `${` without `}`")
                .help("write `$${` for a literal `${`"),
        });
    };
    let known = VARIABLES.into_iter().find(|(known, _)| *known == name);
    let Some((_, part)) = known else {
        let all: Vec<String> = VARIABLES
            .iter()
            .map(|(name, _)| format!("`${{{name}}}`"))
            .collect();
        let message = format!("has `${{{}}}`, which is no variable", name.escape_debug());
        let help = match nearest(name, VARIABLES.iter().map(|(name, _)| *name)) {
            Some(meant) => format!("did you mean `${{{meant}}}`?"),
            None => format!("there are {}", all.join(", ")),
        };
        return Err(Unknown {
            text: format!("${{{name}}}"),
            refused: Refused::because(message).help(help),
        });
    };
    Ok((part, rest))
}

/// Whether it is JSON, once values are filled in.
pub(in crate::config) fn is_json(parts: &[ResponsePart]) -> bool {
    let filled: String = parts
        .iter()
        .map(|part| match part {
            ResponsePart::Text(text) => text,
            ResponsePart::Status => "429",
            ResponsePart::Code | ResponsePart::Message | ResponsePart::RequestId => "word",
        })
        .collect();
    serde_json::from_str::<serde::de::IgnoredAny>(&filled).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ResponsePart {
        ResponsePart::Text(text.to_owned())
    }

    #[test]
    fn templates() {
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse("no $ at $all $"), Ok(vec![text("no $ at $all $")]));
        assert_eq!(parse("$${code}"), Ok(vec![text("${code}")]));
        assert_eq!(
            parse("${status}: ${code}, ${message} (${request_id})"),
            Ok(vec![
                ResponsePart::Status,
                text(": "),
                ResponsePart::Code,
                text(", "),
                ResponsePart::Message,
                text(" ("),
                ResponsePart::RequestId,
                text(")"),
            ])
        );
    }

    #[test]
    fn what_stands_for_nothing_is_refused() {
        for (bad, part, help) in [
            (
                "${request-id}",
                "${request-id}",
                "did you mean `${request_id}`?",
            ),
            (
                "a ${context.x} b",
                "${context.x}",
                "there are `${status}`, `${code}`, `${message}`, `${request_id}`",
            ),
            ("${code} ${", "${", "write `$${` for a literal `${`"),
        ] {
            let unknown = parse(bad).unwrap_err();
            assert_eq!(
                (&*unknown.text, &*unknown.refused.help.unwrap()),
                (part, help)
            );
        }
    }

    #[test]
    fn json_is_told_from_what_is_not() {
        for (template, good) in [
            ("{\"message\":\"${message}\",\"status\":${status}}", true),
            ("{\"message\":${message}}", false),
            ("${message}", false),
            ("\"${message}\"", true),
        ] {
            assert_eq!(is_json(&parse(template).unwrap()), good, "{template}");
        }
    }
}
