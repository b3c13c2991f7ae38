//! Responses of filters that limit requests: the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11, their
//! older forms, and the draft's problem types.
//!
//! Times are in whole seconds, rounded up. The fields are written without `format!`, because every response has them.

use crate::host::{log, problem_members};
use crate::{AttributeValue, Attributes, EditError, LocalResponse, Request, ResponseEdit};

/// The wait for a cost that can never pass: `retry-after-ms` of `windlass:host/limits` and `windlass:host/rates`.
pub const NEVER: u64 = u64::MAX;

/// The largest integer of a structured field (RFC 9651, section 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// The problem type for a client that has used up its limit.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// The problem type for a limit that all clients share.
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// The state of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy<'a> {
    /// The name of the limit: printable ASCII without `"` and `\`.
    pub name: &'a str,
    /// The most requests in a window.
    pub limit: u64,
    /// The number of requests that may still be made now.
    pub remaining: u64,
    /// The length of the window in milliseconds; `u64::MAX` for one that does not end.
    pub window_ms: u64,
    /// The time until the whole limit is available again, in milliseconds; `u64::MAX` for never.
    pub reset_ms: u64,
}

/// A format of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Form {
    /// `RateLimit-Policy: "a";q=10;w=60` and `RateLimit: "a";r=9;t=6`, with every limit.
    #[serde(rename = "draft-11")]
    Draft11,
    /// `RateLimit-Policy: 10;w=60` and `RateLimit: limit=10, remaining=9, reset=6`, with the limit that has least left.
    #[serde(rename = "draft-7")]
    Draft7,
    /// `RateLimit-Policy`, `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, with the limit that has
    /// least left.
    #[serde(rename = "draft-6")]
    Draft6,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, a Unix time, with the limit that has least
    /// left.
    #[serde(rename = "x-ratelimit")]
    XRateLimit,
}

/// The arrival time of the request in Unix milliseconds.
#[must_use]
pub fn arrived_ms() -> u64 {
    let arrived = Attributes::current().number("request.time-ms");
    arrived
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or_default()
}

/// The cost of a request: `told`, the value that an earlier filter set for the attribute `name`, or else `cost`.
///
/// # Errors
/// 500 `cost_invalid` if the value is not a whole number. Any other cost could be lower than it should be.
pub fn request_cost(
    told: Option<AttributeValue>,
    name: &str,
    cost: u64,
) -> Result<u64, LocalResponse> {
    let number = match &told {
        None => return Ok(cost),
        Some(AttributeValue::Number(number)) => u64::try_from(*number).ok(),
        Some(AttributeValue::Text(text)) => text.parse().ok(),
        Some(AttributeValue::Flag(_) | AttributeValue::Bytes(_)) => None,
    };
    number.ok_or_else(|| {
        log::debug("the cost is no whole number", &[("attribute", name)]);
        LocalResponse::new(500, "cost_invalid")
    })
}

/// Adds `retry-after` (RFC 9110, section 10.2.3) to a refusal. If the wait is [`NEVER`], it adds nothing.
#[must_use]
pub fn retry_after(refusal: LocalResponse, wait_ms: u64) -> LocalResponse {
    match wait_ms {
        NEVER => refusal,
        wait_ms => refusal.header("retry-after", seconds(wait_ms).to_string()),
    }
}

impl Form {
    /// The default: the form of the current draft.
    pub const DEFAULT: &'static [Self] = &[Self::Draft11];

    /// The forms that the settings choose: none without `headers`, or else `forms` or the current draft's.
    #[must_use]
    pub fn chosen(headers: bool, forms: Option<&[Self]>) -> Vec<Self> {
        match headers {
            true => forms.unwrap_or(Self::DEFAULT).to_vec(),
            false => Vec::new(),
        }
    }

    /// The reason why these forms cannot be sent together, or `None` if they can.
    #[must_use]
    pub fn clash(forms: &[Self]) -> Option<&'static str> {
        let drafts = forms.iter().filter(|form| **form != Self::XRateLimit);
        let is_twice = forms.len() > 1 && forms.iter().all(|form| *form == Self::XRateLimit);
        (drafts.count() > 1 || is_twice)
            .then_some("names forms of the same fields: choose one draft, and `x-ratelimit` beside it if you like")
    }

    /// The names of the fields of this form.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Draft11 | Self::Draft7 => &["ratelimit", "ratelimit-policy"],
            Self::Draft6 => &[
                "ratelimit-limit",
                "ratelimit-policy",
                "ratelimit-remaining",
                "ratelimit-reset",
            ],
            Self::XRateLimit => &[
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
            ],
        }
    }
}

/// A field: its name and its value.
pub type Field = (&'static str, Vec<u8>);

/// Sets these fields in the response to a request, without a call for the response.
///
/// # Errors
/// The reason why the gateway refused the edits.
pub fn set_in_response(request: &mut Request, fields: &[Field]) -> Result<(), EditError> {
    if fields.is_empty() {
        return Ok(());
    }
    let edits = fields.iter();
    let edits: Vec<_> = edits
        .map(|(name, value)| ResponseEdit::set(name, value))
        .collect();
    request.edit_response(&edits)
}

/// The fields for these limits. `arrived_ms` returns the request's time (the attribute `request.time-ms`), for the
/// forms that need it.
#[must_use]
pub fn fields(forms: &[Form], policies: &[Policy<'_>], arrived_ms: impl Fn() -> u64) -> Vec<Field> {
    let mut fields = Vec::with_capacity(4);
    let Some(tightest) = tightest(policies) else {
        return fields;
    };
    for form in forms {
        match form {
            Form::Draft11 => {
                fields.push(("ratelimit-policy", policy(policies)));
                fields.push(("ratelimit", limit(policies)));
            }
            Form::Draft7 => {
                fields.push(("ratelimit-policy", older_policy(tightest)));
                let mut text = b"limit=".to_vec();
                push_number(&mut text, tightest.limit.min(LARGEST));
                text.extend_from_slice(b", remaining=");
                push_number(&mut text, tightest.remaining.min(LARGEST));
                text.extend_from_slice(b", reset=");
                push_number(&mut text, whole_seconds(tightest.reset_ms).min(LARGEST));
                fields.push(("ratelimit", text));
            }
            Form::Draft6 => {
                fields.push(("ratelimit-policy", older_policy(tightest)));
                fields.push(("ratelimit-limit", number(tightest.limit)));
                fields.push(("ratelimit-remaining", number(tightest.remaining)));
                fields.push(("ratelimit-reset", number(whole_seconds(tightest.reset_ms))));
            }
            Form::XRateLimit => {
                let ends_ms = arrived_ms().saturating_add(tightest.reset_ms);
                fields.push(("x-ratelimit-limit", number(tightest.limit)));
                fields.push(("x-ratelimit-remaining", number(tightest.remaining)));
                fields.push(("x-ratelimit-reset", number(whole_seconds(ends_ms))));
            }
        }
    }
    fields
}

/// The limit with the least left; of several, the one that takes longest to reset.
fn tightest<'p, 'a>(policies: &'p [Policy<'a>]) -> Option<&'p Policy<'a>> {
    let rank = |policy: &&Policy<'_>| (policy.remaining, u64::MAX - policy.reset_ms);
    policies.iter().min_by_key(rank)
}

/// A wait in whole seconds, rounded up, and never 0: after this time, a client may try again.
#[must_use]
pub fn seconds(milliseconds: u64) -> u64 {
    whole_seconds(milliseconds).max(1)
}

/// Names the exceeded limits in the problem body of a 429: the draft's problem type `quota-exceeded`, or
/// `temporary-reduced-capacity` if all clients share the limit. The names must be plain words.
pub fn tell_violated(names: &[&str], is_shared: bool) {
    problem_members::set(&violated(names, is_shared));
}

fn violated(names: &[&str], is_shared: bool) -> String {
    let (kind, title) = match is_shared {
        false => (
            QUOTA_EXCEEDED,
            "Request cannot be satisfied as assigned quota has been exceeded",
        ),
        true => (
            REDUCED_CAPACITY,
            "Request cannot be satisfied due to temporary server capacity constraints",
        ),
    };
    serde_json::json!({ "type": kind, "title": title, "violated-policies": names }).to_string()
}

/// The policies: `"rate";q=10;w=2, "quota";q=1000;w=86400`.
fn policy(policies: &[Policy<'_>]) -> Vec<u8> {
    list(policies, |policy| {
        [
            (";q=", Some(policy.limit)),
            (";w=", window(policy.window_ms)),
        ]
    })
}

/// The remainders: `"rate";r=9;t=1, "quota";r=10;t=5000`.
fn limit(policies: &[Policy<'_>]) -> Vec<u8> {
    list(policies, |policy| {
        [
            (";r=", Some(policy.remaining)),
            (";t=", reset(policy.reset_ms)),
        ]
    })
}

/// `10;w=60`, the format of drafts before the eighth.
fn older_policy(policy: &Policy<'_>) -> Vec<u8> {
    let mut text = number(policy.limit);
    if let Some(window) = window(policy.window_ms) {
        text.extend_from_slice(b";w=");
        push_number(&mut text, window.min(LARGEST));
    }
    text
}

fn whole_seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1_000)
}

/// `None` for a bucket that does not refill: the parameter is optional in the draft, and a client would believe an
/// invented number.
fn window(milliseconds: u64) -> Option<u64> {
    (milliseconds != u64::MAX).then(|| seconds(milliseconds))
}

/// `None` for a bucket that never becomes full again.
fn reset(milliseconds: u64) -> Option<u64> {
    (milliseconds != u64::MAX).then(|| whole_seconds(milliseconds))
}

fn list(
    policies: &[Policy<'_>],
    parameters: impl Fn(&Policy<'_>) -> [(&'static str, Option<u64>); 2],
) -> Vec<u8> {
    let mut text = Vec::with_capacity(96);
    for policy in policies {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.push(b'"');
        text.extend_from_slice(policy.name.as_bytes());
        text.push(b'"');
        for (key, number) in parameters(policy) {
            let Some(number) = number else { continue };
            text.extend_from_slice(key.as_bytes());
            push_number(&mut text, number.min(LARGEST));
        }
    }
    text
}

fn number(number: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(16);
    push_number(&mut text, number.min(LARGEST));
    text
}

fn push_number(text: &mut Vec<u8>, mut number: u64) {
    let start = text.len();
    loop {
        text.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Policy<'_> = Policy {
        name: "rate",
        limit: 10,
        remaining: 9,
        window_ms: 2_000,
        reset_ms: 200,
    };
    const QUOTA: Policy<'_> = Policy {
        name: "quota",
        limit: 1_000,
        remaining: 10,
        window_ms: 86_400_000,
        reset_ms: 4_999_001,
    };

    fn told(form: Form, policies: &[Policy<'_>]) -> Vec<String> {
        let fields = fields(&[form], policies, || 1_700_000_000_000);
        let text = |(name, value): &Field| format!("{name}: {}", String::from_utf8_lossy(value));
        fields.iter().map(text).collect()
    }

    #[test]
    fn the_current_draft_tells_every_bound() {
        assert_eq!(
            told(Form::Draft11, &[RATE, QUOTA]),
            [
                r#"ratelimit-policy: "rate";q=10;w=2, "quota";q=1000;w=86400"#,
                r#"ratelimit: "rate";r=9;t=1, "quota";r=10;t=5000"#,
            ]
        );
        assert_eq!(
            told(Form::Draft11, &[QUOTA]),
            [
                r#"ratelimit-policy: "quota";q=1000;w=86400"#,
                r#"ratelimit: "quota";r=10;t=5000"#,
            ]
        );
    }

    #[test]
    fn older_forms_tell_the_bound_that_gives_least() {
        assert_eq!(
            told(Form::Draft7, &[QUOTA, RATE]),
            [
                "ratelimit-policy: 10;w=2",
                "ratelimit: limit=10, remaining=9, reset=1",
            ]
        );
        assert_eq!(
            told(Form::Draft6, &[QUOTA, RATE]),
            [
                "ratelimit-policy: 10;w=2",
                "ratelimit-limit: 10",
                "ratelimit-remaining: 9",
                "ratelimit-reset: 1",
            ]
        );
        assert_eq!(
            told(Form::XRateLimit, &[QUOTA, RATE]),
            [
                "x-ratelimit-limit: 10",
                "x-ratelimit-remaining: 9",
                "x-ratelimit-reset: 1700000001",
            ]
        );
        let slow = Policy {
            remaining: 9,
            ..QUOTA
        };
        assert_eq!(
            told(Form::Draft6, &[RATE, slow])[3],
            "ratelimit-reset: 5000"
        );
    }

    #[test]
    fn no_bound_is_told_nothing() {
        for form in [Form::Draft11, Form::Draft7, Form::Draft6, Form::XRateLimit] {
            assert_eq!(told(form, &[]), Vec::<String>::new());
            let names: Vec<_> = told(form, &[RATE]);
            let names: Vec<_> = names
                .iter()
                .filter_map(|line| line.split(':').next())
                .collect();
            assert!(names.iter().all(|name| form.names().contains(name)));
            assert_eq!(names.len(), form.names().len());
        }
    }

    #[test]
    fn a_cost_is_a_whole_number_or_the_request_is_refused() {
        let cost = |told| request_cost(told, "request-cost", 3).ok();
        let text = |text: &str| Some(AttributeValue::Text(text.to_owned()));
        assert_eq!(cost(None), Some(3));
        assert_eq!(cost(Some(AttributeValue::Number(7))), Some(7));
        assert_eq!(cost(Some(AttributeValue::Number(0))), Some(0));
        assert_eq!(cost(text("12")), Some(12));
    }

    #[test]
    fn forms_of_the_same_fields_clash() {
        use Form::{Draft6, Draft7, Draft11, XRateLimit};
        for forms in [
            &[Draft11, XRateLimit][..],
            &[XRateLimit, Draft6],
            &[Draft7],
            &[],
        ] {
            assert_eq!(Form::clash(forms), None, "{forms:?}");
        }
        for forms in [
            &[Draft11, Draft7][..],
            &[Draft6, Draft6],
            &[XRateLimit, XRateLimit],
        ] {
            assert!(Form::clash(forms).is_some(), "{forms:?}");
        }
    }

    #[test]
    fn a_full_bucket_resets_now_and_a_short_window_is_a_second() {
        let full = Policy {
            remaining: 10,
            window_ms: 100,
            reset_ms: 0,
            ..RATE
        };
        assert_eq!(
            told(Form::Draft11, &[full]),
            [
                r#"ratelimit-policy: "rate";q=10;w=1"#,
                r#"ratelimit: "rate";r=10;t=0"#
            ]
        );
    }

    #[test]
    fn numbers_are_printed_as_rust_prints_them() {
        for number in [0, 1, 9, 10, 101, 86_400, 1_000_000_007, LARGEST, u64::MAX] {
            let mut text = Vec::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }

    #[test]
    fn no_number_leaves_the_range_of_a_structured_field() {
        let vast = Policy {
            limit: u64::MAX,
            remaining: u64::MAX,
            window_ms: u64::MAX,
            reset_ms: u64::MAX,
            ..RATE
        };
        assert_eq!(
            told(Form::Draft11, &[vast]),
            [
                format!("ratelimit-policy: \"rate\";q={LARGEST}"),
                format!("ratelimit: \"rate\";r={LARGEST}"),
            ]
        );
        for form in [Form::Draft7, Form::Draft6, Form::XRateLimit] {
            let told = told(form, &[vast]).join(" ");
            assert!(!told.contains(&u64::MAX.to_string()), "{told}");
        }
        let long = Policy {
            window_ms: u64::MAX - 1,
            ..vast
        };
        let policy = told(Form::Draft11, &[long]).swap_remove(0);
        assert_eq!(
            policy,
            format!("ratelimit-policy: \"rate\";q={LARGEST};w={LARGEST}")
        );
    }

    #[test]
    fn a_wait_is_rounded_up_and_never_zero() {
        assert_eq!([0, 1, 1_000, 1_001].map(seconds), [1, 1, 1, 2]);
    }

    #[test]
    fn a_problem_names_the_policies() {
        assert_eq!(
            violated(&["rate", "a-b"], false),
            r#"{"title":"Request cannot be satisfied as assigned quota has been exceeded","type":"https://iana.org/assignments/http-problem-types#quota-exceeded","violated-policies":["rate","a-b"]}"#
        );
        assert!(violated(&["route"], true).contains("#temporary-reduced-capacity"));
    }
}
