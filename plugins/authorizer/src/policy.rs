//! IAM policies as authorizers write them: parsing, and evaluation for one method and path. Pure.
//!
//! An explicit deny wins, then an allow; without either, nothing is allowed. A policy with an unsupported part
//! (`NotAction`, `NotResource`, a condition, a policy variable, another effect) is an error, so that a half-understood
//! policy opens nothing. A deny matches every way in which a server may read the path; an allow matches only the path
//! itself. The work is limited for any policy.

use core::fmt;
use core::marker::PhantomData;
use std::borrow::Cow;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use windlass_plugin_sdk::path::decode_segment;

/// The action of every request.
const INVOKE: &str = "execute-api:invoke";
/// The longest pattern of an action or a resource in bytes: Amazon's limit for an ARN.
const MAX_PATTERN: usize = 1600;
/// The most comparisons of one evaluation: about two milliseconds.
const MAX_STEPS: u32 = 1_000_000;

/// `policyDocument`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    #[serde(rename = "Version")]
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "Statement")]
    statements: OneOrMany<Object<StatementDocument>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementDocument {
    #[serde(rename = "Sid")]
    _sid: Option<IgnoredAny>,
    #[serde(rename = "Effect")]
    effect: Effect,
    #[serde(rename = "Action")]
    action: OneOrMany<String>,
    #[serde(rename = "Resource")]
    resource: OneOrMany<String>,
    /// An empty condition always holds.
    #[serde(rename = "Condition")]
    _condition: Option<Object<Nothing>>,
}

/// An object without members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Effects must have exactly IAM's spelling.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// The patterns of the resources that the policy allows and denies for this action.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
}

/// The result of a policy for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is allowed.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement allows it.
    NotAllowed,
    /// The policy is too large to evaluate.
    TooMuch,
}

/// A method and a path as the resource of a policy.
#[derive(Debug)]
pub struct MethodArn {
    text: String,
    /// The same resource with the paths that less strict servers read instead.
    other_readings: Vec<String>,
}

impl TryFrom<PolicyDocument> for Policy {
    type Error = &'static str;

    fn try_from(document: PolicyDocument) -> Result<Self, Self::Error> {
        if let Some("2012-10-17" | "2008-10-17") | None = document.version.as_deref() {
        } else {
            return Err("its `Version` is none of IAM's");
        }
        let mut policy = Self::default();
        for Object(statement) in document.statements.0 {
            let mut invokes = false;
            for action in &statement.action.0 {
                if action != "*" && !action.contains(':') {
                    return Err("an `Action` is neither `*` nor of the form `service:action`");
                }
                check(action)?;
                let mut steps = MAX_STEPS;
                let pattern = action.to_ascii_lowercase();
                invokes |= matches(pattern.as_bytes(), INVOKE.as_bytes(), &mut steps);
            }
            for resource in &statement.resource.0 {
                if resource != "*" && !resource.starts_with("arn:") {
                    return Err("a `Resource` is neither `*` nor an ARN");
                }
                check(resource)?;
            }
            if invokes {
                let patterns = match statement.effect {
                    Effect::Allow => &mut policy.allow,
                    Effect::Deny => &mut policy.deny,
                };
                patterns.extend(statement.resource.0);
            }
        }
        Ok(policy)
    }
}

fn check(pattern: &str) -> Result<(), &'static str> {
    if pattern.len() > MAX_PATTERN {
        return Err("an `Action` or `Resource` is longer than 1,600 bytes");
    }
    if pattern.contains("${") {
        return Err("it has a policy variable, and there are none here");
    }
    Ok(())
}

impl Policy {
    /// Evaluate the policy for a request: explicit denies first.
    pub fn evaluate(&self, arn: &MethodArn) -> Outcome {
        let mut steps = MAX_STEPS;
        let mut subjects = vec![arn.text.as_str()];
        subjects.extend(arn.other_readings.iter().map(String::as_str));
        for pattern in &self.deny {
            // `secret/` denies `secret` too, because few endpoints distinguish them. After a `*` this would deny every
            // path.
            let bare = pattern.strip_suffix('/');
            let bare = bare.filter(|bare| !bare.ends_with('*'));
            for pattern in [Some(pattern.as_str()), bare].into_iter().flatten() {
                for subject in &subjects {
                    // A deny may match the ARN as one text or part by part.
                    if matches(pattern.as_bytes(), subject.as_bytes(), &mut steps)
                        || matches_arn(pattern, subject, &mut steps)
                    {
                        return Outcome::Denied;
                    }
                }
            }
            if steps == 0 {
                return Outcome::TooMuch;
            }
        }
        let mut allow = self.allow.iter();
        if allow.any(|pattern| matches_arn(pattern, &arn.text, &mut steps)) {
            return Outcome::Allowed;
        }
        match steps {
            0 => Outcome::TooMuch,
            _ => Outcome::NotAllowed,
        }
    }
}

impl MethodArn {
    /// `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<METHOD>/<path>`. `path` begins with `/` and has no query.
    pub fn new(prefix: &str, method: &str, path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        // An authorizer may copy the ARN into its policy. A path such as `/*` must not widen that policy.
        let escaped: Cow<'_, str> = match path.contains(['*', '{']) {
            true => path.replace('*', "%2A").replace('{', "%7B").into(),
            false => path.into(),
        };
        // Methods are tokens, in which `*` is an ordinary character.
        let method = method.replace('*', "%2A").replace('?', "%3F");
        let whole = |path: &str| format!("{prefix}/{method}/{path}");
        let others = other_readings(&escaped);
        Self {
            text: whole(&escaped),
            other_readings: others.iter().map(|path| whole(path)).collect(),
        }
    }

    /// The ARN as authorizers get it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The ways in which less strict servers read a path (without its first `/`): with escapes decoded, without
/// `;parameters`, with `\\` as a separator, without a trailing slash, or several of these.
fn other_readings(path: &str) -> Vec<String> {
    if !path.contains(['%', ';', '\\']) && !path.ends_with('/') {
        return Vec::new();
    }
    let decode = |path: &str| String::from_utf8_lossy(&decode_segment(path)).into_owned();
    let bare = without_parameters(path);
    let mut readings: Vec<String> = Vec::new();
    for reading in [
        decode(path),
        without_parameters(&decode(path)),
        decode(&bare),
        bare,
    ] {
        readings.push(resolved(&reading));
        readings.push(reading);
    }
    let with_slash = readings.iter().map(String::as_str).chain([path]);
    let without: Vec<_> = with_slash
        .filter_map(|path| path.strip_suffix('/'))
        .map(str::to_owned)
        .collect();
    readings.extend(without);
    readings.sort_unstable();
    readings.dedup();
    readings.retain(|reading| reading != path);
    readings
}

/// Each segment up to its first `;`.
fn without_parameters(path: &str) -> String {
    let segments = path.split('/');
    let segments: Vec<_> = segments
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    segments.join("/")
}

/// The path with `\\` as a separator, and without empty and dot segments (RFC 3986, section 5.2.4).
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let mut whole = kept.join("/");
    if !whole.is_empty() && path.ends_with(['/', '\\']) {
        whole.push('/');
    }
    whole
}

/// Whether an ARN matches a pattern. Each of its six parts must match, so that a `:` in a path is never mistaken for a
/// separator. If the last part of a pattern ends in `*`, it covers the rest.
fn matches_arn(pattern: &str, subject: &str, steps: &mut u32) -> bool {
    let mut subject = subject;
    let mut pattern = pattern.splitn(6, ':').peekable();
    let mut count = 0;
    while let Some(part) = pattern.next() {
        count += 1;
        if pattern.peek().is_none() {
            let is_whole = count == 6 || part.ends_with('*');
            return is_whole && matches(part.as_bytes(), subject.as_bytes(), steps);
        }
        let Some((first, rest)) = subject.split_once(':') else {
            return false;
        };
        if !matches(part.as_bytes(), first.as_bytes(), steps) {
            return false;
        }
        subject = rest;
    }
    false
}

/// Whether a text matches a pattern: `*` is any number of characters, `?` is one. This takes at most pattern length
/// times text length steps; if no steps are left, nothing matches.
fn matches(pattern: &[u8], text: &[u8], steps: &mut u32) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let Some(left) = steps.checked_sub(1) else {
            return false;
        };
        *steps = left;
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || Some(&wanted) == text.get(t) => {
                p += 1;
                t += 1;
                // `?` matches a character, not a byte of one.
                while wanted == b'?' && text.get(t).is_some_and(|byte| byte & 0xC0 == 0x80) {
                    t += 1;
                }
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// A struct that must be a JSON object: serde would also accept a list of its members' values.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Visit<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}

/// A value, or a list of values.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Visit<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one, or a list")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(|one| OneOrMany(vec![one]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let one = T::deserialize(MapAccessDeserializer::new(map));
                one.map(|one| OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(Visit(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "arn:aws:execute-api:us-east-1:000000000000:shop/prod";

    fn policy(json: &str) -> Result<Policy, String> {
        let document: PolicyDocument =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        Policy::try_from(document).map_err(str::to_owned)
    }

    fn evaluate(statements: &str, method: &str, path: &str) -> Outcome {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        let policy = policy(&text).expect("a policy");
        policy.evaluate(&MethodArn::new(PREFIX, method, path))
    }

    fn allow(resource: &str) -> String {
        format!(r#"[{{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"{resource}"}}]"#)
    }

    #[test]
    fn resources_are_compared_as_iam_compares_them() {
        use Outcome::{Allowed, NotAllowed};
        for (resource, method, path, outcome) in [
            ("*", "GET", "/a", Allowed),
            ("arn:*", "GET", "/a", Allowed),
            ("arn:aws:execute-api:*", "GET", "/a", Allowed),
            ("arn:aws:execute-api:*:*:*", "GET", "/a", Allowed),
            ("arn:aws:execute-api:*:*:*/*/*", "GET", "/a", Allowed),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a",
                "GET",
                "/a",
                Allowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a",
                "GET",
                "/a/",
                NotAllowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a",
                "GET",
                "/A",
                NotAllowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a",
                "POST",
                "/a",
                NotAllowed,
            ),
            ("arn:aws:execute-api:*:*:shop/*/GET/a", "GET", "/a", Allowed),
            (
                "arn:aws:execute-api:*:*:shop/prod/*/a",
                "PUT",
                "/a",
                Allowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a/*",
                "GET",
                "/a/b/c",
                Allowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a/*",
                "GET",
                "/a",
                NotAllowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/?",
                "GET",
                "/a",
                Allowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/?",
                "GET",
                "/ab",
                NotAllowed,
            ),
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/",
                "GET",
                "/",
                Allowed,
            ),
            (
                "arn:aws:execute-api:us-east-?:*:shop/prod/GET/a",
                "GET",
                "/a",
                Allowed,
            ),
            (
                "arn:aws:execute-api:eu-west-1:*:shop/prod/GET/a",
                "GET",
                "/a",
                NotAllowed,
            ),
            (
                "arn:aws:execute-api:*:111111111111:*",
                "GET",
                "/a",
                NotAllowed,
            ),
            ("arn:aws-cn:execute-api:*", "GET", "/a", NotAllowed),
            ("arn:aws:lambda:*", "GET", "/a", NotAllowed),
            ("arn:aws:execute-api:*:*:other/*", "GET", "/a", NotAllowed),
            ("arn:aws:execute-api", "GET", "/a", NotAllowed),
            // As `methodArn` has it.
            (
                "arn:aws:execute-api:*:*:shop/prod/GET/a%2Fb",
                "GET",
                "/a%2Fb",
                Allowed,
            ),
            // A path cannot imitate another API.
            (
                "arn:aws:execute-api:*:000000000000:other/prod/GET/x",
                "GET",
                "/a:000000000000:other/prod/GET/x",
                NotAllowed,
            ),
        ] {
            let given = evaluate(&allow(resource), method, path);
            assert_eq!(given, outcome, "{resource} {method} {path}");
        }
    }

    #[test]
    fn a_deny_wins_wherever_it_stands_and_however_the_path_is_escaped() {
        let statements = r#"[{"Effect":"Allow","Action":"*","Resource":"*"},
            {"Effect":"Deny","Action":["s3:Get","execute-api:*"],"Resource":["arn:aws:execute-api:*:*:*/*/*/admin/*","arn:aws:execute-api:*:*:*/*/DELETE/*"]}]"#;
        for (method, path, outcome) in [
            ("GET", "/orders", Outcome::Allowed),
            ("GET", "/admin/users", Outcome::Denied),
            ("GET", "/admin%2Fusers", Outcome::Denied),
            ("DELETE", "/orders/1", Outcome::Denied),
        ] {
            assert_eq!(evaluate(statements, method, path), outcome, "{path}");
        }
    }

    #[test]
    fn a_deny_fits_each_spelling_that_a_server_may_take_for_its_path_and_an_allow_none() {
        let deny = |path: &str| {
            let resource = format!("arn:aws:execute-api:*:*:*/*/*/{path}");
            format!(
                r#"[{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"*","Resource":"{resource}"}}]"#
            )
        };
        let only = allow("arn:aws:execute-api:*:*:shop/prod/GET/secret");
        for path in [
            "/secret/",
            "/secret;a",
            "/secret;a=1/",
            "/secret/;a",
            "/;a/secret",
            "/.;a/secret",
            "/secret%2F",
            "/secret%5C",
            "/secret%3Ba",
            "/secret%3Ba%2F",
            "/x%2F..%2Fsecret",
        ] {
            for denied in ["secret", "secret/", "sec*t", "secre?"] {
                let outcome = evaluate(&deny(denied), "GET", path);
                assert_eq!(outcome, Outcome::Denied, "{denied} {path}");
            }
            let outcome = evaluate(&only, "GET", path);
            assert_eq!(outcome, Outcome::NotAllowed, "{path}");
        }
        assert_eq!(evaluate(&only, "GET", "/secret"), Outcome::Allowed);
        assert_eq!(
            evaluate(&deny("secret/"), "GET", "/secret"),
            Outcome::Denied
        );
        for (denied, path) in [
            ("secret", "/secrets/"),
            ("secret", "/secret/a;b"),
            ("*/", "/a"),
        ] {
            let outcome = evaluate(&deny(denied), "GET", path);
            assert_eq!(outcome, Outcome::Allowed, "{denied} {path}");
        }
    }

    #[test]
    fn a_deny_of_what_is_below_a_path_leaves_the_path_itself_as_amazon_does() {
        let statements = |denied: &str| {
            format!(
                r#"[{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"*","Resource":[{denied}]}}]"#
            )
        };
        let below = r#""arn:aws:execute-api:*:*:shop/prod/*/a/secret/*""#;
        let both = format!(r#""arn:aws:execute-api:*:*:shop/prod/*/a/secret",{below}"#);
        for path in ["/a/secret/", "/a/secret/1", "/a/secret;x/1", "/a/secret%2F"] {
            assert_eq!(
                evaluate(&statements(below), "GET", path),
                Outcome::Denied,
                "{path}"
            );
        }
        for (denied, outcome) in [(below, Outcome::Allowed), (&both, Outcome::Denied)] {
            assert_eq!(
                evaluate(&statements(denied), "GET", "/a/secret"),
                outcome,
                "{denied}"
            );
        }
    }

    #[test]
    fn actions_are_compared_without_case_and_others_say_nothing() {
        for (action, outcome) in [
            (r#""execute-api:Invoke""#, Outcome::Allowed),
            (r#""EXECUTE-API:invoke""#, Outcome::Allowed),
            (r#""execute-api:*""#, Outcome::Allowed),
            (r#""execute-api:Inv?ke""#, Outcome::Allowed),
            (r#"["s3:Get","execute-api:Invoke"]"#, Outcome::Allowed),
            (r#""execute-api:ManageConnections""#, Outcome::NotAllowed),
            (r#""s3:*""#, Outcome::NotAllowed),
            ("[]", Outcome::NotAllowed),
        ] {
            let one = format!(r#"{{"Effect":"Allow","Action":{action},"Resource":["*"]}}"#);
            assert_eq!(evaluate(&one, "GET", "/a"), outcome, "{action}");
        }
        assert_eq!(evaluate("[]", "GET", "/a"), Outcome::NotAllowed);
    }

    #[test]
    fn a_policy_that_is_not_understood_is_no_policy() {
        let allow = r#""Effect":"Allow","Action":"*","Resource":"*""#;
        for statement in [
            r#"{"Effect":"allow","Action":"*","Resource":"*"}"#.to_owned(),
            r#"{"Effect":"DENY","Action":"*","Resource":"*"}"#.to_owned(),
            r#"{"Effect":"Allow","NotAction":"s3:Get","Resource":"*"}"#.to_owned(),
            r#"{"Effect":"Allow","Action":"*","NotResource":"*"}"#.to_owned(),
            format!(r#"{{{allow},"NotAction":"*"}}"#),
            format!(r#"{{{allow},"Principal":"*"}}"#),
            format!(r#"{{{allow},"Condition":{{"IpAddress":{{"aws:SourceIp":"10.0.0.0/8"}}}}}}"#),
            format!(r#"{{{allow},"Effect":"Allow"}}"#),
            r#"{"Effect":"Allow","Action":"*"}"#.to_owned(),
            r#"{"Action":"*","Resource":"*"}"#.to_owned(),
            r#"{"Effect":"Deny","Action":"Invoke","Resource":"*"}"#.to_owned(),
            r#"{"Effect":"Deny","Action":"*","Resource":"*/admin"}"#.to_owned(),
            r#"{"Effect":"Deny","Action":"*","Resource":"arn:aws:execute-api:*:*:*/${aws:x}"}"#
                .to_owned(),
            r#"{"Effect":"Deny","Action":"*","Resource":7}"#.to_owned(),
            r#"[null,"Allow","*","*",null]"#.to_owned(),
            format!(r#"{{{allow},"Condition":[]}}"#),
            r#""text""#.to_owned(),
            "null".to_owned(),
        ] {
            let text = format!(r#"{{"Statement":[{statement}]}}"#);
            assert!(policy(&text).is_err(), "{text}");
        }
        assert!(policy(r#"{"Version":"2030-01-01","Statement":[]}"#).is_err());
        assert!(policy(r#"{"Version":"2012-10-17"}"#).is_err());
        let empty = format!(r#"{{"Statement":{{{allow},"Sid":"1","Condition":{{}}}}}}"#);
        assert!(policy(&empty).is_ok());
    }

    #[test]
    fn a_path_cannot_widen_a_policy_that_repeats_it() {
        let arn = MethodArn::new(PREFIX, "GET", "/*");
        assert!(arn.as_str().ends_with("/GET/%2A"));
        let repeated = allow(arn.as_str());
        assert_eq!(evaluate(&repeated, "GET", "/*"), Outcome::Allowed);
        assert_eq!(evaluate(&repeated, "GET", "/admin"), Outcome::NotAllowed);
    }

    #[test]
    fn a_method_cannot_widen_a_policy_that_repeats_it() {
        for (method, escaped) in [("*", "%2A"), ("G*", "G%2A"), ("GE?", "GE%3F")] {
            let arn = MethodArn::new(PREFIX, method, "/orders/1");
            assert!(arn.as_str().ends_with(&format!("/{escaped}/orders/1")));
            let repeated = allow(arn.as_str());
            let of = |method: &str| evaluate(&repeated, method, "/orders/1");
            assert_eq!(
                (of(method), of("GET")),
                (Outcome::Allowed, Outcome::NotAllowed)
            );
        }
    }

    #[test]
    fn the_work_is_bounded_and_what_exceeds_it_opens_nothing() {
        let star = format!("arn:aws:execute-api:*:*:{}b", "*a".repeat(700));
        let resources = vec![star; 100].join("\",\"");
        let path = format!("/{}", "a".repeat(8000));
        for effect in ["Allow", "Deny"] {
            let one = format!(r#"{{"Effect":"{effect}","Action":"*","Resource":["{resources}"]}}"#);
            assert_eq!(evaluate(&one, "GET", &path), Outcome::TooMuch);
        }
    }
}
