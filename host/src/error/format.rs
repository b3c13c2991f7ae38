//! The form of the gateway's errors, and the answers that an API has instead.
//!
//! [`super::RequestError`] says what is wrong; this file writes the head and the body. It promises
//! that a route without overrides costs nothing: they are looked at only when there is an error.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::model::error_body::{ErrorStyle, ResponsePart};
use crate::model::head::{ProblemMembers, ResponseHead};
use crate::model::request_id::RequestId;

/// The form of the errors of one API.
#[derive(Debug, Default)]
pub(crate) struct ErrorFormat {
    /// The gateway's own words.
    pub(crate) style: ErrorStyle,
    /// Answers instead of them.
    pub(crate) overrides: Box<[ErrorOverride]>,
}

/// An answer instead of the gateway's own (Amazon API Gateway: a gateway response).
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorOverride {
    /// The code of an error or the reason of a refusal. `default_4xx` and `default_5xx` are for
    /// those without an override of their own.
    pub(crate) code: Box<str>,
    /// Its status. None: the status of the error.
    pub(crate) status: Option<StatusCode>,
    /// Its header fields; they replace those of the same name.
    pub(crate) headers: HeaderMap,
    /// Its body. None: the gateway's own words.
    pub(crate) body: Option<Vec<ResponsePart>>,
    /// Whether values are escaped for JSON.
    pub(crate) escape_json: bool,
}

/// An error or a refusal to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorDetails<'a> {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its stable code, or the reason of a refusal.
    pub(crate) code: &'a str,
    /// Its sentence.
    pub(crate) text: &'a str,
    /// Additional members of its problem body.
    pub(crate) members: Option<&'a ProblemMembers>,
}

/// Members that belong to the gateway and cannot be overridden.
const RESERVED_MEMBERS: [&str; 3] = ["status", "code", "request-id"];

impl ErrorFormat {
    /// Writes the answer: adds the error's own fields to the head, and returns the body.
    #[must_use]
    pub(crate) fn answer(
        &self,
        fault: ErrorDetails<'_>,
        mut headers: HeaderMap,
        id: &RequestId,
    ) -> (ResponseHead, Bytes) {
        let Some(other) = self.find_override(fault) else {
            let (kind, body) = render_default(self.style, fault.status, fault, id);
            headers.insert(header::CONTENT_TYPE, kind);
            let status = fault.status;
            return (ResponseHead { status, headers }, body);
        };
        let status = other.status.unwrap_or(fault.status);
        let body = match &other.body {
            None => {
                let (kind, body) = render_default(self.style, status, fault, id);
                headers.insert(header::CONTENT_TYPE, kind);
                body
            }
            Some(parts) => {
                headers.remove(header::CONTENT_TYPE);
                if !parts.is_empty() {
                    let json = HeaderValue::from_static("application/json");
                    headers.insert(header::CONTENT_TYPE, json);
                }
                let message = self.style.message(fault);
                other.render_body(parts, status, fault.code, message, id)
            }
        };
        for (name, value) in &other.headers {
            headers.insert(name, value.clone());
        }
        (ResponseHead { status, headers }, body)
    }

    /// The override for an error: its own, or else that of its class.
    fn find_override(&self, fault: ErrorDetails<'_>) -> Option<&ErrorOverride> {
        let named = |code: &str| self.overrides.iter().find(|other| *other.code == *code);
        named(fault.code).or_else(|| match fault.status.as_u16() {
            400..=499 => named("default_4xx"),
            500..=599 => named("default_5xx"),
            _ => None,
        })
    }
}

impl ErrorOverride {
    fn render_body(
        &self,
        parts: &[ResponsePart],
        status: StatusCode,
        code: &str,
        message: &str,
        id: &RequestId,
    ) -> Bytes {
        let mut body = String::new();
        for part in parts {
            let value = match part {
                ResponsePart::Text(text) => {
                    body.push_str(text);
                    continue;
                }
                ResponsePart::Status => status.as_str(),
                ResponsePart::Code => code,
                ResponsePart::Message => message,
                ResponsePart::RequestId => id.as_str(),
            };
            if self.escape_json {
                let quoted = serde_json::Value::from(value).to_string();
                let inside = quoted
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                body.push_str(inside.unwrap_or_default());
            } else {
                body.push_str(value);
            }
        }
        body.into()
    }
}

impl ErrorStyle {
    /// The sentence for a fault, whatever status an API answers it with.
    fn message(self, fault: ErrorDetails<'_>) -> &str {
        match self {
            Self::Problem => fault.text,
            Self::Aws => aws_message(fault.status, fault.code),
        }
    }
}

/// The body in the gateway's own form, and its content type.
///
/// `problem`: RFC 9457 with `type` `about:blank`, `title` (the status's phrase), `status`,
/// `detail`, `code` and `request-id`, and the error's own members. `aws`: `{"message": ..}` with
/// the text of API Gateway (developer guide, "Gateway response types").
fn render_default(
    style: ErrorStyle,
    status: StatusCode,
    fault: ErrorDetails<'_>,
    id: &RequestId,
) -> (HeaderValue, Bytes) {
    match style {
        ErrorStyle::Problem => {
            let mut problem = serde_json::json!({
                "type": "about:blank",
                "title": status.canonical_reason().unwrap_or("Error"),
                "status": status.as_u16(),
                "detail": style.message(fault),
                "code": fault.code,
                "request-id": id.as_str(),
            });
            let members = fault.members.into_iter().flatten();
            for (name, value) in
                members.filter(|(name, _)| !RESERVED_MEMBERS.contains(&name.as_str()))
            {
                if let Some(problem) = problem.as_object_mut() {
                    problem.insert(name.clone(), value.clone());
                }
            }
            let mut body = String::new();
            // Writing to a `String` cannot fail.
            let _ = writeln!(body, "{problem}");
            (
                HeaderValue::from_static("application/problem+json"),
                body.into(),
            )
        }
        ErrorStyle::Aws => {
            let message = aws_text(status, fault.code);
            let message = message.unwrap_or_else(|| style.message(fault));
            let message = match (status.as_u16(), fault.code) {
                // API Gateway capitalises this member, and has no text for the other.
                (403, "authorizer_denied" | "authorizer_not_allowed") => {
                    serde_json::json!({ "Message": message })
                }
                (500, "authorizer_failed") => serde_json::json!({ "message": null }),
                _ => serde_json::json!({ "message": message }),
            };
            (
                HeaderValue::from_static("application/json"),
                message.to_string().into(),
            )
        }
    }
}

/// The message of API Gateway for the same error.
fn aws_message(status: StatusCode, code: &str) -> &'static str {
    let otherwise = if status.is_client_error() {
        "Bad Request"
    } else {
        "Internal server error"
    };
    aws_text(status, code).unwrap_or(otherwise)
}

/// The text of API Gateway for a status.
fn aws_text(status: StatusCode, code: &str) -> Option<&'static str> {
    Some(match (status.as_u16(), code) {
        (429, "quota_spent") => "Limit Exceeded",
        (429, _) => "Too Many Requests",
        (400, _) => "Bad Request",
        (401, _) => "Unauthorized",
        (403, "authorizer_denied") => {
            "User is not authorized to access this resource with an explicit deny"
        }
        (403, "authorizer_not_allowed") => "User is not authorized to access this resource",
        (403, _) => "Forbidden",
        (404, _) => "Not Found",
        (405, _) => "Method Not Allowed",
        (413, _) => "Request Too Long",
        (415, _) => "Unsupported Media Type",
        (500, _) => "Internal server error",
        (503, _) => "Service Unavailable",
        (504, _) => "Endpoint request timed out",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, code: &'static str) -> ErrorDetails<'static> {
        ErrorDetails {
            status: StatusCode::from_u16(status).unwrap(),
            code,
            text: "too \"many\"",
            members: None,
        }
    }

    fn answer(words: &ErrorFormat, fault: ErrorDetails<'_>) -> (u16, HeaderMap, String) {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("7"))]);
        let (head, body) = words.answer(fault, headers, &RequestId::new([1; 16]));
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), head.headers, body)
    }

    fn override_of(code: &str, body: Option<&[ResponsePart]>) -> ErrorOverride {
        ErrorOverride {
            code: code.into(),
            body: body.map(Vec::from),
            escape_json: true,
            ..ErrorOverride::default()
        }
    }

    fn aws(overrides: Vec<ErrorOverride>) -> ErrorFormat {
        ErrorFormat {
            style: ErrorStyle::Aws,
            overrides: overrides.into(),
        }
    }

    #[test]
    fn aws_words_are_those_of_amazon() {
        for (status, code, body) in [
            (403, "api_key_rejected", "{\"message\":\"Forbidden\"}"),
            (403, "no_usage_plan", "{\"message\":\"Forbidden\"}"),
            (
                403,
                "authorizer_denied",
                "{\"Message\":\"User is not authorized to access this resource with an explicit deny\"}",
            ),
            (
                403,
                "authorizer_not_allowed",
                "{\"Message\":\"User is not authorized to access this resource\"}",
            ),
            (403, "authorizer_refused", "{\"message\":\"Forbidden\"}"),
            (500, "authorizer_failed", "{\"message\":null}"),
            (429, "throttled", "{\"message\":\"Too Many Requests\"}"),
            (429, "quota_spent", "{\"message\":\"Limit Exceeded\"}"),
        ] {
            let (sent, headers, text) = answer(&aws(Vec::new()), fault(status, code));
            assert_eq!((sent, &*text), (status, body));
            assert_eq!(headers["content-type"], "application/json");
        }
    }

    #[test]
    fn members_of_a_fault_go_into_a_problem_and_nowhere_else() {
        let members =
            serde_json::json!({ "type": "urn:a", "code": "b", "violated-policies": ["c"] });
        let fault = ErrorDetails {
            members: members.as_object(),
            ..fault(429, "throttled")
        };
        let (_, _, body) = answer(&ErrorFormat::default(), fault);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&body["type"], &body["code"]),
            (&"urn:a".into(), &"throttled".into())
        );
        assert_eq!(body["violated-policies"], serde_json::json!(["c"]));
        let (_, _, body) = answer(&aws(Vec::new()), fault);
        assert_eq!(body, "{\"message\":\"Too Many Requests\"}");
    }

    #[test]
    fn a_fault_of_its_own_comes_before_its_class() {
        let text = |text: &str| [ResponsePart::Text(text.into())];
        let words = aws(vec![
            override_of("default_4xx", Some(&text("4"))),
            override_of("throttled", Some(&text("t"))),
            override_of("default_5xx", Some(&text("5"))),
        ]);
        for (status, code, body) in [
            (429, "throttled", "t"),
            (429, "quota_spent", "4"),
            (502, "connect_failed", "5"),
        ] {
            assert_eq!(answer(&words, fault(status, code)).2, body);
        }
    }

    #[test]
    fn values_are_escaped_for_json_and_only_there() {
        let parts = [
            ResponsePart::Code,
            ResponsePart::Text(" ".into()),
            ResponsePart::Message,
        ];
        let mut other = override_of("throttled", Some(&parts));
        let problem = |other: &ErrorOverride| ErrorFormat {
            style: ErrorStyle::Problem,
            overrides: [other.clone()].into(),
        };
        let (_, headers, body) = answer(&problem(&other), fault(429, "throttled"));
        assert_eq!(body, "throttled too \\\"many\\\"");
        assert_eq!(headers["content-type"], "application/json");
        other.escape_json = false;
        other
            .headers
            .insert("content-type", HeaderValue::from_static("text/plain"));
        let (_, headers, body) = answer(&problem(&other), fault(429, "throttled"));
        assert_eq!(body, "throttled too \"many\"");
        assert_eq!(headers["content-type"], "text/plain");
        assert_eq!(headers["retry-after"], "7", "the fault's own fields stay");
    }

    #[test]
    fn another_status_is_in_the_words_too() {
        let mut other = override_of("api_key_missing", None);
        other.status = Some(StatusCode::FORBIDDEN);
        let words = aws(vec![other.clone()]);
        let (status, _, body) = answer(&words, fault(401, "api_key_missing"));
        assert_eq!((status, &*body), (403, "{\"message\":\"Forbidden\"}"));
        other.status = Some(StatusCode::OK);
        let words = aws(vec![other]);
        let (status, _, body) = answer(&words, fault(401, "api_key_missing"));
        assert_eq!((status, &*body), (200, "{\"message\":\"Unauthorized\"}"));
    }

    #[test]
    fn the_message_of_a_body_is_the_faults_whatever_its_status() {
        for status in [200, 402, 403, 418, 429, 500, 503] {
            let mut other = override_of("quota_spent", Some(&[ResponsePart::Message]));
            other.status = Some(StatusCode::from_u16(status).unwrap());
            let (sent, _, body) = answer(&aws(vec![other]), fault(429, "quota_spent"));
            assert_eq!((sent, &*body), (status, "Limit Exceeded"));
        }
        // Amazon has no text for this one.
        let mut other = override_of("quota_spent", None);
        other.status = Some(StatusCode::PAYMENT_REQUIRED);
        let (_, _, body) = answer(&aws(vec![other]), fault(429, "quota_spent"));
        assert_eq!(body, "{\"message\":\"Limit Exceeded\"}");
    }

    #[test]
    fn an_empty_body_has_no_type() {
        let words = aws(vec![override_of("throttled", Some(&[]))]);
        let (_, headers, body) = answer(&words, fault(429, "throttled"));
        assert_eq!(
            (body.as_str(), headers.contains_key("content-type")),
            ("", false)
        );
    }
}
