//! Finds what may be a key or a secret by the look of the text alone.
//!
//! The reader masks what it knows to be private; this covers what never reaches it (a line with
//! a syntax error, a misspelt section), and errs on the side of hiding.

use super::source::Span;
use super::value::digest::is_digest;

/// Keys of `[[key]]` and `[secret.<name>]` whose values are never private.
const PUBLIC: [&str; 11] = [
    "id",
    "consumer",
    "plan",
    "plans",
    "enabled",
    "expires",
    "attributes",
    "env",
    "file",
    "address",
    "name",
];

/// The parts of a text that no report may show.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut private = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        if content.starts_with('[') && is_header(content) {
            private = names_secrets(content);
        } else if !content.starts_with('#') {
            spans.extend(digests(line, start));
            if private || names_secrets_inline(content) || holds_password(content) {
                spans.extend(value(line, start));
            }
        }
        start += line.len();
    }
    spans
}

fn is_header(content: &str) -> bool {
    let name = content.trim_start_matches('[');
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"')
}

fn names_secrets(header: &str) -> bool {
    let lower = header.trim_start_matches(['[', ' ', '"']).to_lowercase();
    lower.starts_with("key") || lower.starts_with("secret")
}

/// `secret.hmac = { .. }` and `key = [..]`.
fn names_secrets_inline(content: &str) -> bool {
    let name = content.split(['=', '.', ' ']).next().unwrap_or_default();
    matches!(name, "secret" | "secrets") && content.contains('{')
}

/// `password = "..."`, and a URL with something before its host.
fn holds_password(content: &str) -> bool {
    let name = content.split(['=', ' ']).next().unwrap_or_default();
    let in_url = |(scheme, rest): (&str, &str)| match scheme.ends_with("oci") {
        // That is where a reference has its digest.
        true => rest.replacen("@sha256:", "", 1).contains('@'),
        false => rest.contains('@'),
    };
    name.ends_with("password") || content.split_once("://").is_some_and(in_url)
}

/// The texts after `digest =` that are no digests.
fn digests(line: &str, start: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    for (at, word) in line.match_indices("digest") {
        let after = at + word.len();
        let rest = line.get(after..).unwrap_or_default();
        let Some(equals) = rest.find('=') else {
            continue;
        };
        let value = rest.get(equals + 1..).unwrap_or_default();
        if !rest
            .trim_start_matches([' ', '\t', '"', '\''])
            .starts_with('=')
            || starts_with_digest(value)
        {
            continue;
        }
        spans.extend(trimmed(value, start + after + equals + 1));
    }
    spans
}

fn starts_with_digest(value: &str) -> bool {
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inside = value.get(1..).unwrap_or_default();
    let text = quote.and_then(|quote| inside.split(quote).next());
    text.is_some_and(is_digest)
}

/// The value of a private line; the whole of a line that has no key.
fn value(line: &str, start: usize) -> Option<Span> {
    let Some((key, value)) = line.split_once('=') else {
        return trimmed(line, start);
    };
    let name = key.trim().trim_matches(['"', '\'']);
    let name = name.split('.').next().unwrap_or_default();
    if PUBLIC.contains(&name) || (name == "digest" && starts_with_digest(value)) {
        return None;
    }
    trimmed(value, start + key.len() + 1)
}

fn trimmed(text: &str, start: usize) -> Option<Span> {
    let content = text.trim();
    let before = text.len() - text.trim_start().len();
    let span = Span::new(start + before, start + before + content.len());
    (!content.is_empty()).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        let spans = find(text);
        spans
            .iter()
            .map(|span| text.get(span.start..span.end).unwrap())
            .collect()
    }

    #[test]
    fn what_may_be_a_key_is_hidden() {
        assert_eq!(
            hidden("[[key]]\nid = \"a\"\ndigest = wl_abc\n"),
            ["wl_abc", "wl_abc"]
        );
        assert_eq!(hidden("key = [{ digest = \"wl_abc\" }]"), ["\"wl_abc\" }]"]);
        assert_eq!(
            hidden("[secret.a]\nvalue = \"s3\"\n[route]\nvalue = 1"),
            ["\"s3\""]
        );
        assert_eq!(
            hidden("[[keys]]\ndigest = \"\"\"\ns3\n\"\"\""),
            ["\"\"\"", "\"\"\"", "s3", "\"\"\""]
        );
        assert_eq!(hidden("secret.a = { value = 's3' }"), ["{ value = 's3' }"]);
    }

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        assert_eq!(
            hidden("[store]\nurl = \"redis://:s3@a/0\npassword = 's3'\nstore.password = s3"),
            ["\"redis://:s3@a/0", "'s3'", "s3"]
        );
        assert!(hidden("[store]\nurl = 'redis://a/0'\nprefix = 'x'").is_empty());
        assert_eq!(
            hidden("plugin = 'oci://u:s3@a/b@sha256:0'"),
            ["'oci://u:s3@a/b@sha256:0'"]
        );
        assert!(hidden("plugin = 'oci://a/b:1@sha256:0'").is_empty());
    }

    #[test]
    fn digests_and_other_lines_are_shown() {
        let digest = format!(
            "[[key]]\nid = 'x'\ndigest = \"sha256:{}\" # made today",
            "a".repeat(64)
        );
        assert!(hidden(&digest).is_empty());
        assert!(
            hidden("[filter.x]\nsettings = { value = 1, digests = [2] }\n# digest = x").is_empty()
        );
    }
}
