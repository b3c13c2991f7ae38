//! Writes the new path of a request whose route rewrites it.
//!
//! It comes after the route was found and the base path of its API was removed, and before the filters. The
//! new path obeys the same rule as that of a client ([`normalize`]).

use std::ops::Range;
use std::str::from_utf8;

use super::path::{PathError, decode_segment, normalize, split_query};
use crate::model::rewrite::{PathPart, PathRewrite};

/// The target with its new path and the same query; none if the path stays. `target` is normalized, and
/// `params` are the ranges of the parameters' values in it.
///
/// # Errors
///
/// The new path breaks the path rule.
pub(crate) fn rewrite(
    rule: &PathRewrite,
    target: &str,
    params: &[Range<usize>],
) -> Result<Option<String>, PathError> {
    let (path, query) = split_query(target);
    let mut new = String::with_capacity(target.len());
    match rule {
        PathRewrite::Parameters(parts) => write(parts, &mut new, |index| {
            params.get(index).and_then(|range| path.get(range.clone()))
        }),
        PathRewrite::Groups(pattern, parts) => {
            let Some(groups) = pattern.captures(path.as_bytes()) else {
                return Ok(None);
            };
            // A group may match a part of a character; a normalized path is ASCII.
            let text = |index| {
                groups
                    .get(index)
                    .and_then(|group| from_utf8(group.as_bytes()).ok())
            };
            write(parts, &mut new, text);
        }
    }
    // A client's own are resolved before; these would come of parts of segments.
    if new.split('/').any(is_dot_segment) {
        return Err(PathError::WrittenDotSegment);
    }
    if let Some(query) = query {
        new.push('?');
        new.push_str(query);
    }
    normalize(&new).map(|target| Some(target.into_owned()))
}

fn is_dot_segment(segment: &str) -> bool {
    let is_short = segment.len() <= "%2e%2e".len();
    is_short && matches!(&*decode_segment(segment), "." | "..")
}

/// Appends the parts. A group that took no part in the match is empty.
fn write<'v>(parts: &[PathPart], new: &mut String, value: impl Fn(usize) -> Option<&'v str>) {
    for part in parts {
        new.push_str(match part {
            PathPart::Text(text) => text,
            PathPart::Value(index) => value(*index).unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::condition::TextPattern;

    fn text(text: &str) -> PathPart {
        PathPart::Text(text.into())
    }

    fn groups(regex: &str, parts: &[PathPart]) -> PathRewrite {
        PathRewrite::Groups(TextPattern::regex(regex).unwrap(), parts.to_vec())
    }

    fn rewritten(rule: &PathRewrite, target: &str, params: &[Range<usize>]) -> String {
        let new = rewrite(rule, target, params);
        new.unwrap().unwrap_or_else(|| "unchanged".to_owned())
    }

    #[test]
    fn parameters_are_put_as_they_are_spelled_and_the_query_stays() {
        let parts = vec![
            text("/v2/"),
            PathPart::Value(1),
            text("/"),
            PathPart::Value(0),
        ];
        let rule = PathRewrite::Parameters(parts);
        let new = rewritten(&rule, "/a%2Fb/c/d?x=%7e&y", &[1..6, 7..10]);
        assert_eq!(new, "/v2/c/d/a%2Fb?x=%7e&y");
    }

    #[test]
    fn groups_are_put_where_the_whole_path_matches() {
        let rule = groups(
            "/v([0-9]+)(/x)?/(.*)",
            &[text("/api/"), PathPart::Value(3), PathPart::Value(2)],
        );
        assert_eq!(rewritten(&rule, "/v1/a/b?q", &[]), "/api/a/b?q");
        assert_eq!(rewritten(&rule, "/v1/x/b", &[]), "/api/b/x");
        assert_eq!(rewritten(&rule, "/w/v1/a", &[]), "unchanged");
    }

    #[test]
    fn a_new_path_obeys_the_path_rule() {
        let rule = groups(
            "/(.*)-(.*)",
            &[text("/a/"), PathPart::Value(1), PathPart::Value(2)],
        );
        for target in ["/.-./b", "/%2e-./b", "/-./b"] {
            let refused = rewrite(&rule, target, &[]);
            assert_eq!(refused, Err(PathError::WrittenDotSegment), "{target}");
        }
        assert_eq!(rewritten(&rule, "/-/b", &[]), "/a/b");
        assert_eq!(
            rewrite(&rule, "/.-.%2Fb", &[]),
            Err(PathError::HiddenDotSegment)
        );
        let cut = groups("/%(.*)", &[text("/%"), PathPart::Value(1), text("%4")]);
        assert_eq!(rewrite(&cut, "/%2F", &[]), Err(PathError::MalformedEscape));
        let nul = groups("/(.)(.*)", &[text("/%0"), PathPart::Value(1)]);
        assert_eq!(rewrite(&nul, "/0", &[]), Err(PathError::EncodedNul));
    }
}
