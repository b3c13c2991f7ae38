//! `builtin:rate-limit`: limits requests by client address or by other values.
//!
//! A request passes only if every limit allows it, in one atomic step of the gateway; nothing of the request is copied
//! for that. The filter deliberately does not count by itself, and has nothing to do with keys and plans, which
//! `builtin:usage-plan` handles.

mod settings;

use settings::Settings;
use windlass_plugin_sdk::host::log;
use windlass_plugin_sdk::host::metrics::Counter;
use windlass_plugin_sdk::host::rates::{self, Decision, Level, Outcome};
use windlass_plugin_sdk::json;
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::ratelimit::{self, Field, Form, Policy};

struct RateLimit {
    bounds: Vec<Bound>,
    cost: u64,
    cost_attribute: Option<String>,
    /// Empty: responses have no such fields.
    forms: Vec<Form>,
    throttled: Counter,
}

struct Bound {
    name: String,
    shadow: bool,
    /// Whether the limit refuses requests that lack the value it counts by.
    denies: bool,
}

impl Filter for RateLimit {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("rate-limit");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        rates::define(&settings.check()?);
        let mut setup = Setup::new().requires(settings.required());
        for field in settings.read() {
            setup = setup.reads(field);
        }
        for (at, message) in settings.advice() {
            setup = setup.warn(at, message);
        }
        let throttled = setup.counter("throttled_total", &["bound", "mode"]);
        let filter = Self {
            forms: settings.forms(),
            bounds: settings
                .bounds
                .into_iter()
                .map(|bound| Bound {
                    denies: bound.denies(),
                    name: bound.name,
                    shadow: settings.shadow || bound.shadow,
                })
                .collect(),
            cost: settings.cost,
            cost_attribute: settings.cost_attribute,
            throttled,
        };
        Ok((filter, setup))
    }
}

impl OnRequest for RateLimit {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let cost = match &self.cost_attribute {
            Some(name) => {
                let told = request.attributes().get(name);
                match ratelimit::request_cost(told, name, self.cost) {
                    Ok(cost) => cost,
                    Err(_) if self.refuses_nothing() => self.cost,
                    Err(refusal) => return Ok(refusal.into()),
                }
            }
            None => self.cost,
        };
        let decision = rates::take(cost);
        if decision.shadowed != 0 {
            self.count(decision.would_refuse(), "shadow");
        }
        match decision.outcome {
            Outcome::Allowed => {
                if !self.forms.is_empty() {
                    let fields = self.fields(&rates::standing(), ratelimit::arrived_ms);
                    ratelimit::set_in_response(request, &fields)?;
                }
                Ok(RequestVerdict::NEXT)
            }
            Outcome::Missing => Ok(LocalResponse::new(400, "rate_key_missing").into()),
            Outcome::Refused => {
                self.count(decision.refused_by(), "refused");
                ratelimit::tell_violated(&self.names(decision.refused_by()), false);
                Ok(self.refuse(429, "throttled", &decision).into())
            }
            Outcome::Unavailable => Ok(self.refuse(503, "limits_unavailable", &decision).into()),
        }
    }
}

impl RateLimit {
    /// Whether all limits are in shadow.
    fn refuses_nothing(&self) -> bool {
        self.bounds.iter().all(|bound| bound.shadow)
    }

    fn names(&self, places: impl Iterator<Item = usize>) -> Vec<&str> {
        let bounds = places.filter_map(|place| self.bounds.get(place));
        bounds.map(|bound| bound.name.as_str()).collect()
    }

    #[cold]
    fn count(&self, places: impl Iterator<Item = usize>, mode: &str) {
        for name in self.names(places) {
            self.throttled.increment(&[name, mode]);
            if mode == "shadow" {
                log::debug("a bound in shadow would have refused", &[("bound", name)]);
            }
        }
    }

    /// The fields with the state of the limits; those in shadow are left out.
    fn fields(&self, levels: &[Level], arrived_ms: impl Fn() -> u64) -> Vec<Field> {
        let policies = levels.iter().filter_map(|level| {
            let bound = self.bounds.get(level.bound as usize)?;
            (!bound.shadow).then_some(Policy {
                name: &bound.name,
                limit: level.limit,
                remaining: level.remaining,
                window_ms: level.window_ms,
                reset_ms: level.reset_ms,
            })
        });
        ratelimit::fields(&self.forms, &policies.collect::<Vec<_>>(), arrived_ms)
    }

    #[cold]
    fn refuse(&self, status: u16, reason: &str, decision: &Decision) -> LocalResponse {
        let refusal = LocalResponse::new(status, reason);
        let mut refusal = ratelimit::retry_after(refusal, decision.retry_after_ms);
        if !self.forms.is_empty() {
            for (name, value) in self.fields(&rates::standing(), ratelimit::arrived_ms) {
                refusal = refusal.header(name, value);
            }
        }
        refusal
    }
}

impl Describe for RateLimit {
    fn contribution(&self) -> Contribution {
        if self.refuses_nothing() {
            return Contribution::new();
        }
        let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
        let wait = json!({ "description": "seconds until there is room", "schema": { "type": "integer" } });
        let mut headers = json!({ "retry-after": wait });
        for name in self.forms.iter().flat_map(|form| form.names()) {
            headers[*name] = text(match *name {
                "ratelimit-policy" => "the bounds",
                _ => "what is left of the bounds",
            });
        }
        let response = json!({ "description": "a rate gives no more now", "headers": headers });
        let contribution = Contribution::new().response(429, response);
        let mut refusing = self.bounds.iter().filter(|bound| !bound.shadow);
        if !refusing.any(|bound| bound.denies) {
            return contribution;
        }
        let lacks = json!({ "description": "the request lacks a value that is counted by" });
        contribution.response(400, lacks)
    }
}

windlass_plugin_sdk::export!(RateLimit: request, description);
