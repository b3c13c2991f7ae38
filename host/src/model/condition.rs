//! What a route demands of a request beside its host, path and method.
//!
//! Pure data: the configuration makes it, and `route` holds requests against it.

use http::HeaderName;
use ipnet::IpNet;
use regex::bytes::Regex;

/// The conditions of a route, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Conditions {
    /// Header fields.
    pub(crate) headers: Vec<(HeaderName, ValueRule)>,
    /// Parameters of the query, by their decoded names.
    pub(crate) query: Vec<(String, ValueRule)>,
    pub(crate) cookies: Vec<(String, ValueRule)>,
    /// The networks of the client; none for any.
    pub(crate) sources: Vec<IpNet>,
    /// The whole path.
    pub(crate) path: Option<TextPattern>,
}

/// What a field, a parameter or a cookie must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueRule {
    /// There, with any value.
    Present,
    /// Not there.
    Absent,
    /// There, and one of its values matches one of these.
    OneOf(Vec<ValueMatch>),
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueMatch {
    /// This text.
    Exact(Box<str>),
    /// A text of this form.
    Pattern(TextPattern),
}

/// A regular expression that a whole text must match.
#[derive(Debug, Clone)]
pub(crate) struct TextPattern {
    /// As it stands in the file.
    text: Box<str>,
    regex: Regex,
}

/// The most memory that one regular expression takes. Bytes.
const MAX_REGEX: usize = 1 << 20;

impl TextPattern {
    /// A regular expression, in the syntax of the crate `regex`. It matches in linear time.
    ///
    /// # Errors
    ///
    /// It is malformed or too large: a sentence says how.
    pub(crate) fn regex(text: &str) -> Result<Self, String> {
        // By itself too: `a)|(?:b` would be well-formed in the parentheses only.
        build(text)?;
        Self::of(text, &format!(r"\A(?:{text})\z"))
    }

    /// A text in which each `*` stands for any characters, or none.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub(crate) fn wildcard(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        Self::of(text, &format!(r"\A(?s-u:{})\z", parts.join(".*")))
    }

    fn of(text: &str, whole: &str) -> Result<Self, String> {
        Ok(Self {
            text: text.into(),
            regex: build(whole)?,
        })
    }

    /// The names of its groups, by number. The whole match is the group 0.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Option<&str>> {
        self.regex.capture_names()
    }

    /// The parts of these bytes that its groups match, if all of them match.
    pub(crate) fn captures<'v>(&self, value: &'v [u8]) -> Option<regex::bytes::Captures<'v>> {
        self.regex.captures(value)
    }

    /// Whether all of these bytes match.
    #[must_use]
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }
}

fn build(text: &str) -> Result<Regex, String> {
    let built = regex::bytes::RegexBuilder::new(text)
        .size_limit(MAX_REGEX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is too large a regular expression".to_owned(),
        error => {
            // The first lines repeat the text, with a caret.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let why = last.strip_prefix("error: ").unwrap_or(last);
            format!("is no regular expression: {why}")
        }
    })
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.regex.as_str() == other.regex.as_str()
    }
}

impl ValueMatch {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Pattern(pattern) => pattern.matches(value),
        }
    }
}

impl ValueRule {
    /// Whether these values, all of one name, are as the rule demands.
    pub(crate) fn holds<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::OneOf(all) => {
                values.any(|value| all.iter().any(|one| one.matches(value.as_ref())))
            }
        }
    }

    /// Whether no single value meets both rules, as far as that is certain.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Present | Self::OneOf(_))
            | (Self::Present | Self::OneOf(_), Self::Absent) => true,
            (Self::OneOf(own), Self::OneOf(others)) => {
                let differs = |one: &ValueMatch, other: &ValueMatch| match (one, other) {
                    (ValueMatch::Exact(one), ValueMatch::Exact(other)) => one != other,
                    (ValueMatch::Exact(text), ValueMatch::Pattern(pattern))
                    | (ValueMatch::Pattern(pattern), ValueMatch::Exact(text)) => {
                        !pattern.matches(text.as_bytes())
                    }
                    (ValueMatch::Pattern(_), ValueMatch::Pattern(_)) => false,
                };
                own.iter()
                    .all(|one| others.iter().all(|other| differs(one, other)))
            }
            _ => false,
        }
    }
}

impl Conditions {
    /// Their number, by which routes are ranked.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.headers.len()
            + self.query.len()
            + self.cookies.len()
            + usize::from(!self.sources.is_empty())
            + usize::from(self.path.is_some())
    }

    /// Whether no request meets both, as far as that is certain.
    #[must_use]
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        let apart = |one: &IpNet| other.sources.iter().all(|other| !overlaps(one, other));
        let are_apart = !self.sources.is_empty() && !other.sources.is_empty();
        excludes(&self.headers, &other.headers)
            || excludes(&self.query, &other.query)
            || excludes(&self.cookies, &other.cookies)
            || (are_apart && self.sources.iter().all(apart))
    }
}

fn excludes<N: PartialEq>(own: &[(N, ValueRule)], others: &[(N, ValueRule)]) -> bool {
    own.iter().any(|(name, rule)| {
        let mut same = others.iter().filter(|(other, _)| other == name);
        same.any(|(_, other)| rule.excludes(other))
    })
}

fn overlaps(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of(texts: &[&str]) -> ValueRule {
        let all = texts.iter().map(|text| match text.contains('*') {
            true => ValueMatch::Pattern(TextPattern::wildcard(text).unwrap()),
            false => ValueMatch::Exact((*text).into()),
        });
        ValueRule::OneOf(all.collect())
    }

    #[test]
    fn a_pattern_matches_whole_texts_only() {
        let regex = |text: &str| TextPattern::regex(text).unwrap();
        assert!(regex("a|b+").matches(b"bb"));
        assert!(!regex("a|b+").matches(b"bbc"));
        assert!(!regex("a").matches(b"a\n"));
        let wildcard = |text: &str| TextPattern::wildcard(text).unwrap();
        assert!(wildcard("curl/*").matches(b"curl/8.0"));
        assert!(wildcard("*bot*").matches(b"a bot\n\xff"));
        assert!(wildcard("a.c").matches(b"a.c"));
        assert!(!wildcard("a.c").matches(b"abc"));
        assert!(!wildcard("curl/*").matches(b"xcurl/"));
    }

    #[test]
    fn a_regular_expression_that_cannot_be_used_says_why() {
        let why = |text: &str| TextPattern::regex(text).unwrap_err();
        assert_eq!(why("a("), "is no regular expression: unclosed group");
        assert_eq!(why("a)|(?:b"), "is no regular expression: unopened group");
        assert!(why("(?=a)").contains("look-around"), "{}", why("(?=a)"));
        assert_eq!(why("a{1000}{1000}"), "is too large a regular expression");
    }

    #[test]
    fn rules_hold_for_any_of_several_values() {
        let holds = |rule: &ValueRule, values: &[&str]| rule.holds(values.iter());
        let two = one_of(&["1", "2*"]);
        assert!(holds(&two, &["0", "23"]));
        assert!(!holds(&two, &["0", "12"]));
        assert!(!holds(&two, &[]));
        assert!(holds(&ValueRule::Present, &[""]) && !holds(&ValueRule::Present, &[]));
        assert!(holds(&ValueRule::Absent, &[]) && !holds(&ValueRule::Absent, &[""]));
    }

    #[test]
    fn what_excludes_each_other_is_known_where_it_is_certain() {
        let on = |name: &'static str, rule: ValueRule| Conditions {
            headers: vec![(HeaderName::from_static(name), rule)],
            ..Conditions::default()
        };
        let from = |text: &str| Conditions {
            sources: vec![text.parse().unwrap()],
            ..Conditions::default()
        };
        for (one, other, is_excluded) in [
            (on("a", one_of(&["1"])), on("a", one_of(&["2", "3"])), true),
            (on("a", one_of(&["1"])), on("a", one_of(&["2", "1"])), false),
            (on("a", one_of(&["1*"])), on("a", one_of(&["2"])), true),
            (on("a", one_of(&["1*"])), on("a", one_of(&["12"])), false),
            (on("a", one_of(&["1"])), on("b", one_of(&["2"])), false),
            (on("a", ValueRule::Absent), on("a", one_of(&["2"])), true),
            (on("a", ValueRule::Present), on("a", one_of(&["2"])), false),
            (from("10.0.0.0/8"), from("192.168.0.0/16"), true),
            (from("10.0.0.0/8"), from("10.1.0.0/16"), false),
            (from("10.0.0.0/8"), Conditions::default(), false),
        ] {
            assert_eq!(one.excludes(&other), is_excluded, "{one:?} {other:?}");
            assert_eq!(other.excludes(&one), is_excluded, "{one:?} {other:?}");
        }
    }
}
