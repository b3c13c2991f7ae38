//! The authorizer's response: parsing, limits and caching. Pure.

use core::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::policy::{Object, Policy, PolicyDocument};

/// The largest response in bytes.
pub const MAX_ANSWER: usize = 256 * 1024;
/// The most context values.
const MAX_CONTEXT: usize = 100;
/// The most bytes in the names and values of the context and in the principal.
const MAX_CONTEXT_BYTES: usize = 8 * 1024;

/// The parts of a response that the filter uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// `principalId`.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// `context`.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<(String, ContextValue)>,
    /// `usageIdentifierKey`.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub usage_key: Option<String>,
    /// The decision about requests.
    #[serde(rename = "r")]
    pub rule: Rule,
}

/// The decision of a response about requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// A policy, evaluated for each method and path.
    #[serde(rename = "p")]
    Policy(Policy),
    /// One decision for all requests.
    #[serde(rename = "s")]
    Simple(bool),
}

/// A value of the context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContextValue {
    /// Text, or a number that is not whole, as it is written.
    #[serde(rename = "t")]
    Text(String),
    /// A whole number.
    #[serde(rename = "n")]
    Number(i64),
    /// A boolean.
    #[serde(rename = "f")]
    Flag(bool),
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "principalId")]
    principal: Option<String>,
    #[serde(rename = "policyDocument")]
    policy: Option<Object<PolicyDocument>>,
    #[serde(rename = "isAuthorized")]
    is_authorized: Option<bool>,
    #[serde(default)]
    context: Option<Context>,
    #[serde(rename = "usageIdentifierKey")]
    usage_key: Option<String>,
}

impl Answer {
    /// Parse a response. `simple`: it has `isAuthorized` instead of a policy.
    ///
    /// # Errors
    /// The reason why it is invalid, without any of its values.
    pub fn read(body: &[u8], simple: bool) -> Result<Self, String> {
        if body.len() > MAX_ANSWER {
            return Err(format!("it is larger than {MAX_ANSWER} bytes"));
        }
        let Object(wire): Object<Wire> =
            serde_json::from_slice(body).map_err(|error| why(&error))?;
        let rule = match (simple, wire.policy, wire.is_authorized) {
            (false, Some(Object(policy)), None) => Rule::Policy(policy.try_into()?),
            (true, None, Some(is)) => Rule::Simple(is),
            (false, None, _) => return Err("it has no `policyDocument`".to_owned()),
            (false, Some(_), Some(_)) => {
                return Err("it has both `policyDocument` and `isAuthorized`".to_owned());
            }
            (true, _, None) => return Err("it has no `isAuthorized`".to_owned()),
            (true, Some(_), Some(_)) => {
                let both =
                    "it has a `policyDocument` beside `isAuthorized`, and `answers` is `simple`";
                return Err(both.to_owned());
            }
        };
        let context = wire.context.unwrap_or_default().0;
        let texts = wire.principal.iter().chain(&wire.usage_key);
        let texts: usize = texts.map(String::len).sum();
        let size: usize = context
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size + texts > MAX_CONTEXT_BYTES {
            return Err(format!(
                "its `context` is larger than {MAX_CONTEXT_BYTES} bytes"
            ));
        }
        Ok(Self {
            principal: wire.principal.filter(|text| !text.is_empty()),
            context,
            usage_key: wire.usage_key.filter(|text| !text.is_empty()),
            rule,
        })
    }

    /// The bytes for the cache.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The response from the cache's bytes.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The error in the JSON. It names members but never values, because a value may be a key.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let is_about_names = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .any(|start| text.starts_with(start));
    let is_ours = text.starts_with(CONTEXT);
    if is_about_names || is_ours {
        return text.chars().take(200).collect();
    }
    let (line, column) = (error.line(), error.column());
    match error.is_data() {
        true => format!("a member is not of its type, at line {line} column {column}"),
        false => format!("it is no JSON, at line {line} column {column}"),
    }
}

/// The beginning of errors about the context.
const CONTEXT: &str = "its `context`";

#[derive(Default)]
struct Context(Vec<(String, ContextValue)>);

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Context;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Context, A::Error> {
                let complain = |what: &str| {
                    let text = format!("{CONTEXT} {what}");
                    <A::Error as serde::de::Error>::custom(text)
                };
                let mut all: Vec<(String, ContextValue)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if all.len() >= MAX_CONTEXT {
                        return Err(complain("has more than 100 members"));
                    }
                    if name.is_empty() || name.chars().any(char::is_control) {
                        return Err(complain(
                            "has a member without a name, or with a control character in it",
                        ));
                    }
                    if all.iter().any(|(earlier, _)| *earlier == name) {
                        return Err(complain("has a member twice"));
                    }
                    // A null value is left out.
                    if let Some(value) = map.next_value::<Option<WireValue>>()? {
                        all.push((name, value.0));
                    }
                }
                Ok(Context(all))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

struct WireValue(ContextValue);

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = WireValue;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string, a number or a boolean")
            }

            fn visit_str<E>(self, text: &str) -> Result<WireValue, E> {
                Ok(WireValue(ContextValue::Text(text.to_owned())))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<WireValue, E> {
                Ok(WireValue(ContextValue::Flag(flag)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<WireValue, E> {
                Ok(WireValue(ContextValue::Number(number)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<WireValue, E> {
                let whole = i64::try_from(number);
                Ok(WireValue(whole.map_or_else(
                    |_| ContextValue::Text(number.to_string()),
                    ContextValue::Number,
                )))
            }

            fn visit_f64<E>(self, number: f64) -> Result<WireValue, E> {
                Ok(WireValue(ContextValue::Text(number.to_string())))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

impl ContextValue {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) | Self::Flag(_) => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: &str =
        r#""policyDocument":{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

    fn read(json: &str) -> Result<Answer, String> {
        Answer::read(json.as_bytes(), false)
    }

    #[test]
    fn an_answer_is_kept_whole() {
        let json = format!(
            r#"{{"principalId":"me",{ALLOW},"context":{{"a":"x","b":7,"c":true,"d":1.5,"e":null}},"usageIdentifierKey":"k"}}"#
        );
        let answer = read(&json).unwrap();
        let text = |text: &str| ContextValue::Text(text.to_owned());
        let context = [
            ("a".to_owned(), text("x")),
            ("b".to_owned(), ContextValue::Number(7)),
            ("c".to_owned(), ContextValue::Flag(true)),
            ("d".to_owned(), text("1.5")),
        ];
        assert_eq!(answer.context, context);
        assert_eq!(answer.principal.as_deref(), Some("me"));
        assert_eq!(Answer::of_bytes(&answer.to_bytes()), Some(answer));
    }

    #[test]
    fn the_principal_may_be_missing() {
        assert_eq!(read(&format!("{{{ALLOW}}}")).unwrap().principal, None);
    }

    #[test]
    fn what_is_no_answer_is_told_without_its_values() {
        let many = (0..10_000)
            .map(|n| format!("\"n{n}\":1"))
            .collect::<Vec<_>>()
            .join(",");
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        for (json, wanted) in [
            (String::new(), "it is no JSON"),
            ("s3cret".to_owned(), "it is no JSON"),
            ("\"s3cret\"".to_owned(), "a member is not of its type"),
            (deep.clone(), "a member is not of its type"),
            (
                format!("{{{ALLOW},\"context\":{{\"x\":{deep}}}}}"),
                "a member is not of its type",
            ),
            ("{}".to_owned(), "it has no `policyDocument`"),
            (
                "{\"isAuthorized\":true}".to_owned(),
                "it has no `policyDocument`",
            ),
            (format!("{{\"isAuthorized\":true,{ALLOW}}}"), "it has both"),
            (
                format!("{{{ALLOW},\"usageIdentifierKey\":1234567}}"),
                "a member is not of its type",
            ),
            (
                format!("{{{ALLOW},\"context\":{{\"a\":[\"s3cret\"]}}}}"),
                "a member is not of its type",
            ),
            (
                format!("{{{ALLOW},\"context\":{{\"a\":1,\"a\":2}}}}"),
                "its `context` has a member twice",
            ),
            (
                format!("{{{ALLOW},\"context\":{{{many}}}}}"),
                "its `context` has more than 100",
            ),
            (
                format!("{{{ALLOW},\"context\":{{\"a\":\"{}\"}}}}", "x".repeat(9000)),
                "its `context` is larger",
            ),
            (
                format!("{{{ALLOW}}}{}", " ".repeat(MAX_ANSWER)),
                "it is larger than 262144 bytes",
            ),
            (
                "{\"policyDocument\":{\"Statement\":{\"NotAction\":\"s3cret\"}}}".to_owned(),
                "unknown field `NotAction`",
            ),
        ] {
            let told = read(&json).expect_err(wanted);
            assert!(told.starts_with(wanted), "{told}, not {wanted}");
            assert!(
                !told.contains("s3cret") && !told.contains("1234567"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_simple_answer_is_yes_or_no() {
        let simple = |json: &str| Answer::read(json.as_bytes(), true).map(|answer| answer.rule);
        assert_eq!(simple(r#"{"isAuthorized":true}"#), Ok(Rule::Simple(true)));
        assert_eq!(simple(r#"{"isAuthorized":false}"#), Ok(Rule::Simple(false)));
        for json in [
            r#"{"isAuthorized":"true"}"#,
            r#"{"isAuthorized":1}"#,
            r#"{"isauthorized":true}"#,
            &format!("{{{ALLOW}}}"),
            &format!("{{{ALLOW},\"isAuthorized\":true}}"),
        ] {
            assert!(simple(json).is_err(), "{json}");
        }
    }
}
