//! `builtin:usage-plan`: limits each API key to the rate and the quota of its usage plan.
//!
//! A request passes only if every limit of the plan allows it, in one atomic step of the gateway.
//! Throttling and a spent quota have different codes, and every response says what remains. The
//! filter runs after the one that provides `api-key.id`. It deliberately does not count by itself,
//! nor identify the consumer.

mod settings;

use settings::{Settings, WithoutPlan};
use windlass_plugin_sdk::host::limits::{self, Bound, Decision, Level, Levels, Uncharged};
use windlass_plugin_sdk::json;
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::ratelimit::{self, Field, Form, Policy};

struct UsagePlan {
    plan: Option<String>,
    without_plan: WithoutPlan,
    cost: u64,
    cost_attribute: Option<String>,
    /// Empty: responses have no such fields.
    forms: Vec<Form>,
}

impl Filter for UsagePlan {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("usage-plan");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        settings.check()?;
        let filter = Self {
            forms: settings.forms(),
            plan: settings.plan,
            without_plan: settings.without_plan,
            cost: settings.cost,
            cost_attribute: settings.cost_attribute,
        };
        Ok((filter, Setup::new().requires(["api-key.id"])))
    }
}

impl OnRequest for UsagePlan {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let cost = match &self.cost_attribute {
            Some(name) => {
                let told = request.attributes().get(name);
                match ratelimit::request_cost(told, name, self.cost) {
                    Ok(cost) => cost,
                    Err(refusal) => return Ok(refusal.into()),
                }
            }
            None => self.cost,
        };
        let decision = match limits::charge(self.plan.as_deref(), cost) {
            Ok(decision) => decision,
            Err(Uncharged::NoKey) => {
                let detail = "no text in the attribute `api-key.id`";
                return Err(Failure::new("missing_attribute", detail));
            }
            Err(Uncharged::NoPlan) => return Ok(self.without_plan.verdict()),
            // The gateway's log names the key and the plan.
            Err(Uncharged::UnknownPlan) => return Ok(no_usage_plan()),
        };
        if decision.allowed {
            let fields = fields(&levels(&decision), &self.forms, ratelimit::arrived_ms);
            ratelimit::set_in_response(request, &fields)?;
            return Ok(RequestVerdict::NEXT);
        }
        tell_violated(&decision);
        Ok(refuse(&decision, &self.forms, ratelimit::arrived_ms).into())
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

fn no_usage_plan() -> RequestVerdict {
    LocalResponse::new(403, "no_usage_plan").into()
}

/// The state of a plan's limits after a decision.
fn levels(decision: &Decision) -> Levels {
    Levels {
        rate: decision.rate,
        quota: decision.quota,
    }
}

/// The fields with the state of a plan's limits.
fn fields(standing: &Levels, forms: &[Form], arrived_ms: impl Fn() -> u64) -> Vec<Field> {
    if forms.is_empty() {
        return Vec::new();
    }
    let policy = |name, level: Level| Policy {
        name,
        limit: level.limit,
        remaining: level.remaining,
        window_ms: level.window_ms,
        reset_ms: level.reset_ms,
    };
    let rate = standing.rate.map(|level| policy("rate", level));
    let quota = standing.quota.map(|level| policy("quota", level));
    match (rate, quota) {
        (Some(rate), Some(quota)) => ratelimit::fields(forms, &[rate, quota], arrived_ms),
        (Some(one), None) | (None, Some(one)) => ratelimit::fields(forms, &[one], arrived_ms),
        (None, None) => Vec::new(),
    }
}

/// Names the limit that refused in the problem body.
fn tell_violated(decision: &Decision) {
    let (name, is_shared) = match decision.refused_by {
        Some(Bound::Method | Bound::Plan) => ("rate", false),
        Some(Bound::Quota) => ("quota", false),
        Some(Bound::Route) => ("route", true),
        Some(Bound::Gateway) => ("gateway", true),
        Some(Bound::Unavailable) | None => return,
    };
    ratelimit::tell_violated(&[name], is_shared);
}

/// The refusal for a decision that does not allow the request; `forms`: the forms of its fields.
fn refuse(decision: &Decision, forms: &[Form], arrived_ms: impl Fn() -> u64) -> LocalResponse {
    let (status, reason) = match decision.refused_by {
        Some(Bound::Quota) => (429, "quota_spent"),
        Some(Bound::Method | Bound::Plan | Bound::Route | Bound::Gateway) => (429, "throttled"),
        Some(Bound::Unavailable) | None => (503, "limits_unavailable"),
    };
    let refusal = LocalResponse::new(status, reason);
    let mut refusal = ratelimit::retry_after(refusal, decision.retry_after_ms);
    for (name, value) in fields(&levels(decision), forms, arrived_ms) {
        refusal = refusal.header(name, value);
    }
    refusal
}

impl Describe for UsagePlan {
    fn contribution(&self) -> Contribution {
        let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
        let wait = json!({ "description": "seconds until there is room", "schema": { "type": "integer" } });
        let mut headers = json!({ "retry-after": wait });
        for name in self.forms.iter().flat_map(|form| form.names()) {
            headers[*name] = text(match *name {
                "ratelimit-policy" => "the bounds of the plan",
                _ => "what is left of the bounds",
            });
        }
        let response = json!({
            "description": "the plan of the API key gives no more now: throttled, or its quota is spent",
            "headers": headers,
        });
        Contribution::new().response(429, response)
    }
}

windlass_plugin_sdk::export!(UsagePlan: request, description);

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

    fn answer(decision: &Decision, forms: &[Form]) -> (u16, String, Vec<(String, String)>) {
        let refusal = refuse(decision, forms, || 0);
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
            let (answered, why, _) = answer(&refused(bound, 1), Form::DEFAULT);
            assert_eq!((answered, why.as_str()), (status, reason), "{bound:?}");
        }
    }

    #[test]
    fn a_refusal_says_when_to_try_again_and_what_is_left() {
        let (_, _, headers) = answer(&refused(Bound::Plan, 1_001), Form::DEFAULT);
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
        let (_, _, headers) = answer(&refused(Bound::Quota, 86_400_000), &[]);
        assert_eq!(headers, [header("retry-after", "86400")]);
    }

    #[test]
    fn a_cost_that_never_passes_is_told_no_wait() {
        for bound in [Bound::Method, Bound::Plan, Bound::Quota] {
            let (status, _, headers) = answer(&refused(bound, ratelimit::NEVER), Form::DEFAULT);
            assert_eq!(status, 429);
            let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["ratelimit-policy", "ratelimit"]);
        }
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
