//! `builtin:usage-plan`: holds each API key to the rate and the quota of its usage plan.
//!
//! Promises: a request passes only if every bound of the plan gives, in one atomic step of the
//! gateway; throttled and quota spent are told apart; every answer says what is left. Runs after
//! the filter that provides `api-key.id`. Deliberately does not: count by itself, or find out
//! who the consumer is.

mod fields;
mod settings;

use settings::{Settings, WithoutPlan};
use windlass_plugin_sdk::host::limits::{self, Bound, Decision, Levels, Uncharged};
use windlass_plugin_sdk::host::log;
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{AttributeValue, json};

/// The wait of what can never pass: `retry-after-ms` of `windlass:host/limits`.
const NEVER: u64 = u64::MAX;

struct UsagePlan {
    plan: Option<String>,
    without_plan: WithoutPlan,
    cost: u64,
    cost_attribute: Option<String>,
    headers: bool,
}

impl Filter for UsagePlan {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("usage-plan");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        settings.check()?;
        let filter = Self {
            plan: settings.plan,
            without_plan: settings.without_plan,
            cost: settings.cost,
            cost_attribute: settings.cost_attribute,
            headers: settings.headers,
        };
        Ok((filter, Setup::new().requires(["api-key.id"])))
    }
}

impl OnRequest for UsagePlan {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let cost = match &self.cost_attribute {
            Some(name) => told_cost(request.attributes().get(name), name, self.cost),
            None => self.cost,
        };
        let decision = match limits::charge(self.plan.as_deref(), cost) {
            Ok(decision) => decision,
            Err(Uncharged::NoKey) => {
                let detail = "no text in the attribute `api-key.id`";
                return Err(Failure::new("missing_attribute", detail));
            }
            Err(Uncharged::NoPlan) => return Ok(self.without_plan.verdict()),
            // The gateway's log has the key and the plan.
            Err(Uncharged::UnknownPlan) => return Ok(no_usage_plan()),
        };
        if decision.allowed {
            return Ok(RequestVerdict::NEXT);
        }
        Ok(refuse(&decision, self.headers).into())
    }
}

impl OnResponse for UsagePlan {
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        if self.headers
            && let Some(standing) = limits::standing()
            && !fields::is_empty(&standing)
        {
            response.set_headers(&[
                ("ratelimit-policy", &fields::policy(&standing)),
                ("ratelimit", &fields::limit(&standing)),
            ])?;
        }
        Ok(ResponseVerdict::NEXT)
    }
}

impl WithoutPlan {
    fn verdict(self) -> RequestVerdict {
        match self {
            Self::Deny => no_usage_plan(),
            Self::Allow => RequestVerdict::NEXT,
        }
    }
}

/// What the request costs: what a filter said, else the cost of the settings. What is no whole
/// number does not make a request free.
fn told_cost(told: Option<AttributeValue>, name: &str, cost: u64) -> u64 {
    let number = match &told {
        None => return cost,
        Some(AttributeValue::Number(number)) => u64::try_from(*number).ok(),
        Some(AttributeValue::Text(text)) => text.parse().ok(),
        Some(AttributeValue::Flag(_) | AttributeValue::Bytes(_)) => None,
    };
    number.unwrap_or_else(|| {
        log::warn("the cost is no whole number", &[("attribute", name)]);
        cost
    })
}

fn no_usage_plan() -> RequestVerdict {
    LocalResponse::new(403, "no_usage_plan").into()
}

/// The refusal of a decision that is not allowed; `headers`: it says what is left.
fn refuse(decision: &Decision, headers: bool) -> LocalResponse {
    let (status, reason) = match decision.refused_by {
        Some(Bound::Quota) => (429, "quota_spent"),
        Some(Bound::Method | Bound::Plan | Bound::Route | Bound::Gateway) => (429, "throttled"),
        Some(Bound::Unavailable) | None => (503, "limits_unavailable"),
    };
    let mut refusal = LocalResponse::new(status, reason);
    // A cost above a burst or a quota never passes: no wait would be true.
    if decision.retry_after_ms != NEVER {
        let seconds = fields::seconds(decision.retry_after_ms);
        refusal = refusal.header("retry-after", seconds.to_string());
    }
    let standing = Levels {
        rate: decision.rate,
        quota: decision.quota,
    };
    if headers && !fields::is_empty(&standing) {
        refusal = refusal
            .header("ratelimit-policy", fields::policy(&standing))
            .header("ratelimit", fields::limit(&standing));
    }
    refusal
}

impl Describe for UsagePlan {
    fn contribution(&self) -> Contribution {
        let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
        let wait = json!({ "description": "seconds until there is room", "schema": { "type": "integer" } });
        let mut headers = json!({ "retry-after": wait });
        if self.headers {
            let fields = [
                ("ratelimit", text("what is left of the bounds")),
                ("ratelimit-policy", text("the bounds of the plan")),
            ];
            for (name, field) in fields {
                headers[name] = field;
            }
        }
        let response = json!({
            "description": "the plan of the API key gives no more now: throttled, or its quota is spent",
            "headers": headers,
        });
        Contribution::new().response(429, response)
    }
}

windlass_plugin_sdk::export!(UsagePlan: request, response, description);

#[cfg(test)]
mod tests {
    use windlass_plugin_sdk::host::limits::Level;

    use super::*;

    fn refused(bound: Bound, retry_after_ms: u64) -> Decision {
        Decision {
            allowed: false,
            refused_by: Some(bound),
            retry_after_ms,
            rate: Some(Level {
                limit: 10,
                remaining: 0,
                window_ms: 2_000,
                reset_ms: 1_900,
            }),
            quota: None,
            ticket: 0,
        }
    }

    fn answer(decision: &Decision, headers: bool) -> (u16, String, Vec<(String, String)>) {
        let refusal = refuse(decision, headers);
        let headers = refusal
            .headers
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8(value).expect("the values are text")))
            .collect();
        (refusal.status, refusal.reason, headers)
    }

    fn header(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn throttled_and_quota_spent_are_told_apart() {
        for (bound, status, reason) in [
            (Bound::Method, 429, "throttled"),
            (Bound::Plan, 429, "throttled"),
            (Bound::Route, 429, "throttled"),
            (Bound::Gateway, 429, "throttled"),
            (Bound::Quota, 429, "quota_spent"),
            (Bound::Unavailable, 503, "limits_unavailable"),
        ] {
            let (answered, why, _) = answer(&refused(bound, 1), true);
            assert_eq!((answered, why.as_str()), (status, reason), "{bound:?}");
        }
    }

    #[test]
    fn a_refusal_says_when_to_try_again_and_what_is_left() {
        let (_, _, headers) = answer(&refused(Bound::Plan, 1_001), true);
        assert_eq!(
            headers,
            [
                header("retry-after", "2"),
                header("ratelimit-policy", r#""rate";q=10;w=2"#),
                header("ratelimit", r#""rate";r=0;t=2"#),
            ]
        );
    }

    #[test]
    fn without_headers_only_retry_after_is_left() {
        let (_, _, headers) = answer(&refused(Bound::Quota, 86_400_000), false);
        assert_eq!(headers, [header("retry-after", "86400")]);
    }

    #[test]
    fn a_cost_that_never_passes_is_told_no_wait() {
        for bound in [Bound::Method, Bound::Plan, Bound::Quota] {
            let (status, _, headers) = answer(&refused(bound, NEVER), true);
            assert_eq!(status, 429);
            let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["ratelimit-policy", "ratelimit"]);
        }
    }

    #[test]
    fn a_filter_may_say_what_a_request_costs() {
        let cost = |told| told_cost(told, "request-cost", 3);
        assert_eq!(cost(None), 3);
        assert_eq!(cost(Some(AttributeValue::Number(7))), 7);
        assert_eq!(cost(Some(AttributeValue::Number(0))), 0);
        assert_eq!(cost(Some(AttributeValue::Text("12".to_owned()))), 12);
    }

    #[test]
    fn a_key_without_a_plan_is_denied_unless_allowed() {
        assert!(matches!(
            WithoutPlan::Deny.verdict(),
            RequestVerdict::Respond(refusal)
                if refusal.status == 403 && refusal.reason == "no_usage_plan"
        ));
        assert!(matches!(
            WithoutPlan::Allow.verdict(),
            RequestVerdict::Next(BodyMode::Skip)
        ));
    }
}
