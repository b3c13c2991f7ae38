//! Responses to browsers, by the Fetch standard (fetch.spec.whatwg.org, section 3.3). Pure: no calls of the gateway.

use windlass_plugin_sdk::{LocalResponse, ResponseEdit, is_field_name};

use crate::origin::Origins;

/// All response fields of the standard. The filter removes them from the endpoint's response.
const FIELDS_OF_ENDPOINTS: [&str; 7] = [
    ALLOW_ORIGIN,
    ALLOW_CREDENTIALS,
    EXPOSE_HEADERS,
    ALLOW_METHODS,
    ALLOW_HEADERS,
    MAX_AGE,
    "access-control-allow-private-network",
];

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const MAX_AGE: &str = "access-control-max-age";

/// The longest list of headers in a preflight that the response repeats, in bytes.
const MOST_ASKED: usize = 4096;

/// Names of methods or headers.
#[derive(Debug, PartialEq, Eq)]
pub enum Names {
    /// Any name.
    Any,
    /// These names, separated by commas.
    List(String),
}

/// The policy of the settings.
#[derive(Debug)]
pub struct Policy {
    /// The origins that may read responses.
    pub origins: Origins,
    /// The methods that pages may use.
    pub methods: Names,
    /// The request headers that pages may set.
    pub headers: Names,
    /// The response headers that pages may read.
    pub expose: Names,
    /// Whether pages may send cookies and other credentials.
    pub credentials: bool,
    /// How many seconds a browser may cache the response to a preflight.
    pub max_age: String,
}

impl Policy {
    /// The response to a preflight. Only an origin that may not read responses is refused: the browser itself tells the
    /// page's author which method or header is not in the list.
    pub fn preflight(&self, origin: &str, method: &str, headers: Option<&str>) -> LocalResponse {
        let mut vary = Vec::new();
        if !self.origins.is_any() {
            vary.push("Origin");
        }
        if !self.origins.allow(origin) {
            return LocalResponse::new(403, "cors_origin_refused").header("vary", vary.join(", "));
        }
        let mut answer = LocalResponse::new(204, "cors_preflight");
        for (name, value) in self.origin_fields(origin) {
            answer = answer.header(name, value);
        }
        match &self.methods {
            Names::List(list) => answer = answer.header(ALLOW_METHODS, list.as_str()),
            Names::Any => {
                vary.push("Access-Control-Request-Method");
                if is_field_name(method) {
                    answer = answer.header(ALLOW_METHODS, method);
                }
            }
        }
        match &self.headers {
            Names::List(list) if list.is_empty() => {}
            Names::List(list) => answer = answer.header(ALLOW_HEADERS, list.as_str()),
            Names::Any => {
                vary.push("Access-Control-Request-Headers");
                if let Some(asked) = headers.filter(|asked| is_list(asked)) {
                    answer = answer.header(ALLOW_HEADERS, asked);
                }
            }
        }
        answer = answer.header(MAX_AGE, self.max_age.as_str());
        match vary.is_empty() {
            true => answer,
            false => answer.header("vary", vary.join(", ")),
        }
    }

    /// The edits of every response: they remove the endpoint's own fields, and add `Origin` to `vary` if the response
    /// depends on the origin (RFC 9110, section 12.5.5).
    pub fn edits_of_all(&self) -> Vec<ResponseEdit<'_>> {
        let fields = FIELDS_OF_ENDPOINTS.iter();
        let mut edits: Vec<_> = fields.map(|name| ResponseEdit::remove(name)).collect();
        match self.origins.is_any() {
            true => edits.extend(edits_of(&self.fields("*"))),
            false => edits.push(ResponseEdit::add_member("vary", "Origin")),
        }
        edits
    }

    /// The edits of a response for this origin, which may read it.
    pub fn edits<'a>(&'a self, origin: &'a str) -> Vec<ResponseEdit<'a>> {
        edits_of(&self.fields(origin))
    }

    /// The fields of a response for this origin, which may read it.
    fn fields<'a>(&'a self, origin: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut fields = self.origin_fields(origin);
        match &self.expose {
            Names::Any => fields.push((EXPOSE_HEADERS, "*")),
            Names::List(list) if list.is_empty() => {}
            Names::List(list) => fields.push((EXPOSE_HEADERS, list)),
        }
        fields
    }

    fn origin_fields<'a>(&self, origin: &'a str) -> Vec<(&'static str, &'a str)> {
        if self.origins.is_any() {
            return vec![(ALLOW_ORIGIN, "*")];
        }
        let mut fields = vec![(ALLOW_ORIGIN, origin)];
        if self.credentials {
            fields.push((ALLOW_CREDENTIALS, "true"));
        }
        fields
    }
}

fn edits_of<'a>(fields: &[(&'static str, &'a str)]) -> Vec<ResponseEdit<'a>> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| ResponseEdit::set(name, *value))
        .collect()
}

/// Whether the response may repeat this list of headers: names separated by commas.
fn is_list(asked: &str) -> bool {
    asked.len() <= MOST_ASKED && asked.split(',').all(|name| is_field_name(name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        let mut origins = Origins::default();
        for rule in rules {
            origins.add(rule).expect(rule);
        }
        Policy {
            origins,
            methods: Names::List("GET, PUT".into()),
            headers: Names::List("content-type".into()),
            expose: Names::List(String::new()),
            credentials: false,
            max_age: "600".into(),
        }
    }

    fn answer(response: &LocalResponse) -> (u16, Vec<String>) {
        let lines = response.headers.iter();
        let lines = lines.map(|(name, value)| {
            let value = std::str::from_utf8(value).expect("text");
            format!("{name}: {value}")
        });
        (response.status, lines.collect())
    }

    #[test]
    fn a_preflight_of_a_listed_origin_gets_the_lists() {
        let policy = policy(&["https://a.example"]);
        assert_eq!(
            answer(&policy.preflight("https://a.example", "PUT", Some("content-type"))),
            (
                204,
                vec![
                    "access-control-allow-origin: https://a.example".into(),
                    "access-control-allow-methods: GET, PUT".into(),
                    "access-control-allow-headers: content-type".into(),
                    "access-control-max-age: 600".into(),
                    "vary: Origin".into(),
                ]
            )
        );
        // The browser reports the name that is not in the list.
        let other = policy.preflight("https://a.example", "DELETE", Some("x-other"));
        assert_eq!(other.status, 204);
    }

    #[test]
    fn a_preflight_of_another_origin_is_refused_and_told_nothing() {
        let refused = policy(&["https://a.example"]).preflight("https://b.example", "PUT", None);
        assert_eq!(refused.reason, "cors_origin_refused");
        assert_eq!(answer(&refused), (403, vec!["vary: Origin".into()]));
    }

    #[test]
    fn for_every_origin_nothing_varies() {
        let answered = policy(&["*"]).preflight("https://b.example", "PUT", None);
        let (status, lines) = answer(&answered);
        assert_eq!(status, 204);
        assert_eq!(lines[0], "access-control-allow-origin: *");
        assert!(!lines.iter().any(|line| line.starts_with("vary")));
    }

    #[test]
    fn with_credentials_the_origin_is_named_and_stars_are_what_was_asked_for() {
        let mut policy = policy(&["https://*.example"]);
        policy.credentials = true;
        policy.methods = Names::Any;
        policy.headers = Names::Any;
        let asked = "authorization,x-a, x-b";
        assert_eq!(
            answer(&policy.preflight("https://a.example", "PATCH", Some(asked))).1,
            [
                "access-control-allow-origin: https://a.example",
                "access-control-allow-credentials: true",
                "access-control-allow-methods: PATCH",
                "access-control-allow-headers: authorization,x-a, x-b",
                "access-control-max-age: 600",
                "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            ]
        );
    }

    #[test]
    fn what_is_no_method_and_no_list_is_not_given_back() {
        let mut policy = policy(&["https://a.example"]);
        policy.methods = Names::Any;
        policy.headers = Names::Any;
        let long = format!("a{}", ",a".repeat(MOST_ASKED));
        for asked in ["a b", "a,,b", "", "a\nb", "a;b", &long] {
            let answered = policy.preflight("https://a.example", "A B", Some(asked));
            let (status, lines) = answer(&answered);
            assert_eq!(status, 204);
            let given = lines
                .iter()
                .filter(|line| line.starts_with(ALLOW_METHODS) || line.starts_with(ALLOW_HEADERS));
            assert_eq!(given.count(), 0, "{lines:?}");
        }
    }

    #[test]
    fn every_answer_loses_what_the_endpoint_said_and_says_that_it_varies() {
        let edits = policy(&["https://a.example"]);
        let edits = edits.edits_of_all();
        for name in FIELDS_OF_ENDPOINTS {
            let removed = edits.iter();
            let removed = removed
                .filter(|edit| matches!(edit, ResponseEdit::Remove(known) if *known == name));
            assert_eq!(removed.count(), 1, "{name}");
        }
        assert!(matches!(
            edits.last(),
            Some(ResponseEdit::AddMember(("vary", b"Origin")))
        ));
    }

    #[test]
    fn every_answer_may_be_read_where_every_origin_may() {
        let any = policy(&["*"]);
        let edits = any.edits_of_all();
        assert!(matches!(
            edits.last(),
            Some(ResponseEdit::Set((ALLOW_ORIGIN, b"*")))
        ));
        assert!(
            !edits
                .iter()
                .any(|edit| matches!(edit, ResponseEdit::AddMember(_)))
        );
    }

    #[test]
    fn an_answer_names_what_may_be_read() {
        let mut policy = policy(&["https://a.example"]);
        policy.expose = Names::List("ratelimit, retry-after".into());
        policy.credentials = true;
        assert_eq!(
            policy.fields("https://a.example"),
            [
                (ALLOW_ORIGIN, "https://a.example"),
                (ALLOW_CREDENTIALS, "true"),
                (EXPOSE_HEADERS, "ratelimit, retry-after"),
            ]
        );
    }
}
