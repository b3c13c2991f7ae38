//! The settings as written.

use serde::Deserialize;
use windlass_plugin_sdk::Diagnostic;
use windlass_plugin_sdk::ratelimit::Form;

/// Which plan applies, and what a request costs.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The usage plan that applies to every key. By default each key's own, the attribute
    /// `plan.id`.
    #[serde(default)]
    pub plan: Option<String>,
    /// How a key without a usage plan is answered: `deny` (403, the default) or `allow`.
    #[serde(default)]
    pub without_plan: WithoutPlan,
    /// How much one request takes from each bound. The default is 1.
    #[serde(default = "one")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub cost: u64,
    /// The attribute in which a filter before this one says what the request costs: a whole number,
    /// 0 for nothing. If it is not there, `cost` holds; if it is anything else, the request is refused.
    #[serde(default)]
    pub cost_attribute: Option<String>,
    /// Whether answers carry `RateLimit` and `RateLimit-Policy`. The default is true.
    #[serde(default = "yes")]
    pub headers: bool,
    /// How the fields are written: one draft (`draft-11`, the default; `draft-7` or `draft-6`), and `x-ratelimit` in its
    /// place or beside it.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", extend("items" = { "enum": ["draft-11", "draft-7", "draft-6", "x-ratelimit"] })))]
    pub forms: Option<Vec<Form>>,
}

/// How a key without a usage plan is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WithoutPlan {
    /// It is refused with 403 `no_usage_plan`.
    #[default]
    Deny,
    /// It passes without bounds.
    Allow,
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

impl Settings {
    /// The forms of the fields. Empty if responses have none.
    pub fn forms(&self) -> Vec<Form> {
        Form::chosen(self.headers, self.forms.as_deref())
    }

    /// # Errors
    /// All errors in the settings.
    pub fn check(&self) -> Result<(), Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        if self.plan.as_deref() == Some("") {
            complaints.push(Diagnostic::new(
                "/plan",
                "name a usage plan, or leave `plan` out to use each key's own",
            ));
        }
        if self.cost_attribute.as_deref() == Some("") {
            complaints.push(Diagnostic::new(
                "/cost_attribute",
                "name an attribute, or leave `cost_attribute` out",
            ));
        }
        if self.cost == 0 {
            complaints.push(Diagnostic::new(
                "/cost",
                "must be at least 1; leave the filter out of the route to count nothing",
            ));
        }
        if let Some(clash) = Form::clash(self.forms.as_deref().unwrap_or_default()) {
            complaints.push(Diagnostic::new("/forms", clash));
        }
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(complaints)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Settings, Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings(json)
    }

    #[test]
    fn the_defaults_deny_and_tell() {
        let settings = parse("{}").unwrap();
        assert_eq!(settings.plan, None);
        assert_eq!(settings.without_plan, WithoutPlan::Deny);
        assert_eq!(
            (settings.cost, settings.cost_attribute.as_deref()),
            (1, None)
        );
        assert!(settings.headers);
        settings.check().unwrap();
    }

    #[test]
    fn every_complaint_is_made_at_once() {
        let complaints =
            parse(r#"{"plan":"","cost":0,"cost_attribute":"","forms":["draft-6","draft-7"]}"#)
                .unwrap()
                .check()
                .unwrap_err();
        let places: Vec<_> = complaints.iter().map(|complaint| &complaint.at).collect();
        assert_eq!(places, ["/plan", "/cost_attribute", "/cost", "/forms"]);
    }

    #[test]
    fn a_wrong_word_points_to_its_place() {
        let complaints = parse(r#"{"without_plan":"forbid"}"#).unwrap_err();
        assert_eq!(complaints[0].at, "/without_plan");
        assert_eq!(
            complaints[0].message,
            "unknown variant `forbid`, expected `deny` or `allow`"
        );
    }

    /// `BLESS=1 cargo test` writes the file.
    #[test]
    fn the_schema_file_is_in_step() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Settings)).unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write("settings.schema.json", &schema).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string("settings.schema.json").unwrap(),
            schema
        );
    }
}
