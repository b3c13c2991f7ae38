//! The settings as written, and the limits that result from them.

use serde::Deserialize;
use windlass_plugin_sdk::host::rates::{
    AddressPrefixes, Algorithm as HostAlgorithm, Bound as HostBound, MAX_BOUNDS,
    Missing as HostMissing, Source,
};
use windlass_plugin_sdk::ratelimit::Form;
use windlass_plugin_sdk::{Diagnostic, is_field_name, is_reserved_field, parse_duration};

/// The largest `limit` and `burst`.
const MAX_LIMIT: u64 = 1_000_000_000;
/// The shortest and the longest window in milliseconds.
const WINDOWS: std::ops::RangeInclusive<u64> = 100..=31 * 86_400_000;

/// The bounds, and what a request costs.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The bounds: a request passes only if all of them give, and then takes from all.
    #[cfg_attr(test, schemars(length(min = 1, max = 16)))]
    pub bounds: Vec<Bound>,
    /// Whether nothing is refused, and only counted what would be. The default is false.
    #[serde(default)]
    pub shadow: bool,
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

/// A bound.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Its name, in fields, bodies and metrics: letters, digits, `_` and `-`, up to 64.
    #[cfg_attr(test, schemars(regex(pattern = "^[A-Za-z0-9_-]{1,64}$")))]
    pub name: String,
    /// The value that it counts by: `client-address`, `header:<name>`, `attribute:<name>` or `path:<parameter>`. By default all
    /// requests together.
    #[serde(default)]
    by: Option<String>,
    /// How many bits of an IPv4 address count. The default is 32.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 32)))]
    ipv4_prefix: Option<u8>,
    /// How many bits of an IPv6 address count. The default is 64: what one subscriber has.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 128)))]
    ipv6_prefix: Option<u8>,
    /// How requests are treated that lack this value: `share` one bucket (the default), `skip` this bound, or
    /// `deny`.
    #[serde(default)]
    missing: Option<Missing>,
    /// How many a window.
    #[cfg_attr(test, schemars(range(min = 1, max = 1_000_000_000)))]
    limit: u64,
    /// The window: `"100ms"` to `"31d"`.
    window: String,
    /// How it counts: `token-bucket` (the default) or `sliding-window`.
    #[serde(default)]
    algorithm: Algorithm,
    /// How many a token bucket holds. The default is `limit`.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 1_000_000_000)))]
    burst: Option<u64>,
    /// Whether this bound refuses nothing, and only counts what it would. The default is false.
    #[serde(default)]
    pub shadow: bool,
}

/// How a bound counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum Algorithm {
    /// `burst` at once, and `limit` a window.
    #[default]
    TokenBucket,
    /// At most `limit` in any window.
    SlidingWindow,
}

/// How a request is treated that lacks the value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It shares one bucket with all others that lack it.
    #[default]
    Share,
    /// The bound does not hold for it.
    Skip,
    /// It is refused with 400 `rate_key_missing`.
    Deny,
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

/// The source of the value that a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By<'a> {
    All,
    ClientAddress,
    Header(&'a str),
    Attribute(&'a str),
    Path(&'a str),
}

impl<'a> By<'a> {
    fn of(text: Option<&'a str>) -> Result<Self, &'static str> {
        const WANTED: &str = "wants `client-address`, `header:<name>`, `attribute:<name>` or `path:<parameter>`; leave `by` out to count all requests together";
        let Some(text) = text else {
            return Ok(Self::All);
        };
        if text == "client-address" {
            return Ok(Self::ClientAddress);
        }
        match text.split_once(':') {
            Some(("header", name)) if is_reserved_field(name) => Err(
                "names a field of the connection, which no filter sees: all requests would lack it; name another",
            ),
            Some(("header", name)) if is_field_name(name) => Ok(Self::Header(name)),
            Some(("header", _)) => Err("names no legal header field"),
            Some(("attribute", name)) if is_of_one_request(name) => Err(
                "names an attribute that differs with each request, so the bound would never hold; name another",
            ),
            Some(("attribute", name)) if is_of_answer(name) => {
                Err("names an attribute that is not there before the answer; name another")
            }
            Some(("attribute", name)) if !name.is_empty() => Ok(Self::Attribute(name)),
            Some(("path", name)) if !name.is_empty() => Ok(Self::Path(name)),
            Some(("claim", _)) => Err(
                "wants an attribute: name the claim in `attributes` of `builtin:jwt`, and that attribute here, as in `attribute:consumer.tenant`",
            ),
            _ => Err(WANTED),
        }
    }
}

/// Whether this attribute of the gateway is different for each request.
fn is_of_one_request(name: &str) -> bool {
    name == "client.port" || name.starts_with("request.")
}

/// Whether the gateway sets this attribute after the request phase.
fn is_of_answer(name: &str) -> bool {
    name.starts_with("upstream.") || name.starts_with("outcome.")
}

/// Whether proxies report the client's address in this field.
fn names_client(field: &str) -> bool {
    let fields = ["forwarded", "x-forwarded-for", "x-real-ip"];
    fields.iter().any(|one| one.eq_ignore_ascii_case(field))
}

impl Settings {
    /// The forms of the fields. Empty if responses have none.
    pub fn forms(&self) -> Vec<Form> {
        Form::chosen(self.headers, self.forms.as_deref())
    }

    /// The limits in the form that the gateway takes.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn check(&self) -> Result<Vec<HostBound<'_>>, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        if self.bounds.is_empty() || self.bounds.len() > MAX_BOUNDS {
            let text = format!("has {} bounds, wanted 1 to {MAX_BOUNDS}", self.bounds.len());
            complaints.push(Diagnostic::new("/bounds", text));
        }
        let mut bounds = Vec::new();
        for (place, bound) in self.bounds.iter().enumerate() {
            let at = format!("/bounds/{place}");
            let before = self.bounds.iter().take(place);
            if before.clone().any(|other| other.name == bound.name) {
                let text = format!("the name `{}` is there twice", bound.name);
                complaints.push(Diagnostic::new(format!("{at}/name"), text));
            }
            bounds.extend(bound.check(&at, self.shadow, &mut complaints));
        }
        if self.cost_attribute.is_none() {
            let holds = |bound: &HostBound<'_>| match bound.algorithm {
                HostAlgorithm::TokenBucket => bound.burst,
                HostAlgorithm::SlidingWindow => bound.limit,
            };
            let smaller = bounds.iter().filter(|bound| !bound.shadow);
            let smaller = smaller.filter(|bound| holds(bound) < self.cost);
            complaints.extend(smaller.map(|bound| {
                let (name, holds) = (bound.name, holds(bound));
                let text = format!("is more than bound `{name}` ever gives ({holds}), so no request would pass: lower it, or raise the bound");
                Diagnostic::new("/cost", text)
            }).collect::<Vec<_>>());
        }
        if self.cost == 0 {
            let text = "must be at least 1; leave the filter out of the route to count nothing";
            complaints.push(Diagnostic::new("/cost", text));
        }
        if self.cost_attribute.as_deref() == Some("") {
            let text = "name an attribute, or leave `cost_attribute` out";
            complaints.push(Diagnostic::new("/cost_attribute", text));
        }
        if let Some(clash) = Form::clash(self.forms.as_deref().unwrap_or_default()) {
            complaints.push(Diagnostic::new("/forms", clash));
        }
        match complaints.is_empty() {
            true => Ok(bounds),
            false => Err(complaints),
        }
    }

    /// The attributes that the filter requires: those that other filters set and that limits with `deny` count by.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let own = ["client.", "route.", "api."];
        let bounds = self.bounds.iter();
        let refusing = bounds.filter(|bound| !self.shadow && !bound.shadow);
        refusing.filter_map(move |bound| {
            let Ok(By::Attribute(name)) = By::of(bound.by.as_deref()) else {
                return None;
            };
            let is_own = own.iter().any(|prefix| name.starts_with(prefix));
            (bound.denies() && !is_own).then_some(name)
        })
    }

    /// Warnings about limits that work, but probably not as intended: each with its path in the settings.
    pub fn advice(&self) -> impl Iterator<Item = (String, &'static str)> {
        let bounds = self.bounds.iter().enumerate();
        bounds.filter_map(|(place, bound)| {
            let text = match By::of(bound.by.as_deref()) {
                Ok(By::Attribute("client.ip")) => "counts each IPv6 address alone, and one subscriber has 2^64 of them: write `client-address`",
                Ok(By::Header(name)) if names_client(name) => "counts by a field in which proxies name the client: write `client-address`, and name the proxy in `[server] trusted_proxies`",
                _ => return None,
            };
            Some((format!("/bounds/{place}/by"), text))
        })
    }

    /// The request fields that limits count by.
    pub fn read(&self) -> impl Iterator<Item = &str> {
        self.bounds
            .iter()
            .filter_map(|bound| match By::of(bound.by.as_deref()) {
                Ok(By::Header(name)) => Some(name),
                _ => None,
            })
    }
}

impl Bound {
    /// Whether the limit refuses requests that lack the value it counts by.
    pub fn denies(&self) -> bool {
        self.missing == Some(Missing::Deny)
    }

    fn check(
        &self,
        at: &str,
        shadow: bool,
        complaints: &mut Vec<Diagnostic>,
    ) -> Option<HostBound<'_>> {
        let before = complaints.len();
        let mut complain = |key: &str, text: String| {
            complaints.push(Diagnostic::new(format!("{at}/{key}"), text));
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            complain(
                "name",
                "wants 1 to 64 letters, digits, `_` and `-`".to_owned(),
            );
        }
        let by = match By::of(self.by.as_deref()) {
            Ok(by) => by,
            Err(text) => {
                complain("by", text.to_owned());
                By::All
            }
        };
        for (key, prefix, most) in [
            ("ipv4_prefix", self.ipv4_prefix, 32),
            ("ipv6_prefix", self.ipv6_prefix, 128),
        ] {
            match prefix {
                Some(_) if by != By::ClientAddress => {
                    complain(
                        key,
                        "says something with `by = \"client-address\"` only: remove it".to_owned(),
                    );
                }
                Some(0) => complain(
                    key,
                    "puts all clients into one bucket: to count all requests together, leave `by` out"
                        .to_owned(),
                ),
                Some(prefix) if prefix > most => {
                    complain(key, format!("must be 1 to {most}, not {prefix}"));
                }
                _ => {}
            }
        }
        if self.missing.is_some() && matches!(by, By::All | By::ClientAddress) {
            complain(
                "missing",
                "says nothing here: every request has what is counted by; remove it".to_owned(),
            );
        }
        for (key, number) in [("limit", Some(self.limit)), ("burst", self.burst)] {
            if number.is_some_and(|number| !(1..=MAX_LIMIT).contains(&number)) {
                complain(key, format!("must be 1 to {MAX_LIMIT}"));
            }
        }
        if self.burst.is_some() && self.algorithm == Algorithm::SlidingWindow {
            complain(
                "burst",
                "says nothing of a sliding window, which admits its `limit` at once: remove it"
                    .to_owned(),
            );
        }
        let window_ms = milliseconds(&self.window).filter(|window| WINDOWS.contains(window));
        if window_ms.is_none() {
            complain(
                "window",
                format!(
                    "wants a time from \"100ms\" to \"31d\", as \"1m\" is, not \"{}\"",
                    self.window
                ),
            );
        }
        if complaints.len() > before {
            return None;
        }
        Some(HostBound {
            name: &self.name,
            by: match by {
                By::All => Source::All,
                By::ClientAddress => Source::ClientAddress(AddressPrefixes {
                    ipv4: self.ipv4_prefix.unwrap_or(32),
                    ipv6: self.ipv6_prefix.unwrap_or(64),
                }),
                By::Header(name) => Source::Header(name),
                By::Attribute(name) => Source::Attribute(name),
                By::Path(name) => Source::PathParam(name),
            },
            missing: match self.missing.unwrap_or_default() {
                Missing::Share => HostMissing::Share,
                Missing::Skip => HostMissing::Skip,
                Missing::Deny => HostMissing::Deny,
            },
            algorithm: match self.algorithm {
                Algorithm::TokenBucket => HostAlgorithm::TokenBucket,
                Algorithm::SlidingWindow => HostAlgorithm::SlidingWindow,
            },
            limit: self.limit,
            window_ms: window_ms?,
            burst: self.burst.unwrap_or(self.limit),
            shadow: shadow || self.shadow,
        })
    }
}

/// Parse a duration such as `10s` into milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    u64::try_from(parse_duration(text)?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Settings, Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings(json)
    }

    #[test]
    fn the_defaults_are_said() {
        let settings =
            parse(r#"{"bounds":[{"name":"a","by":"client-address","limit":9,"window":"1m"}]}"#)
                .unwrap();
        let bounds = settings.check().unwrap();
        let [bound] = bounds.as_slice() else {
            panic!("{bounds:?}");
        };
        assert_eq!((bound.limit, bound.window_ms, bound.burst), (9, 60_000, 9));
        assert!(matches!(
            bound.by,
            Source::ClientAddress(AddressPrefixes { ipv4: 32, ipv6: 64 })
        ));
        assert!(matches!(bound.missing, HostMissing::Share));
        assert!(matches!(bound.algorithm, HostAlgorithm::TokenBucket));
        assert!(!bound.shadow && settings.headers && settings.cost == 1);
    }

    #[test]
    fn every_complaint_is_made_at_once() {
        let settings = r#"{
            "cost": 0, "cost_attribute": "", "forms": ["draft-7", "draft-11"],
            "bounds": [
                {"name": "a b", "by": "ip", "limit": 0, "window": "1 minute", "ipv4_prefix": 24},
                {"name": "b", "by": "client-address", "limit": 1, "window": "1ms", "ipv4_prefix": 33, "ipv6_prefix": 129, "missing": "skip"},
                {"name": "b", "by": "header:a b", "limit": 1, "window": "40d", "burst": 0},
                {"name": "c", "by": "claim:sub", "limit": 1, "window": "1s", "algorithm": "sliding-window", "burst": 2}
            ]
        }"#;
        let complaints = parse(settings).unwrap().check().unwrap_err();
        let places: Vec<_> = complaints
            .iter()
            .map(|complaint| complaint.at.as_str())
            .collect();
        assert_eq!(
            places,
            [
                "/bounds/0/name",
                "/bounds/0/by",
                "/bounds/0/ipv4_prefix",
                "/bounds/0/limit",
                "/bounds/0/window",
                "/bounds/1/ipv4_prefix",
                "/bounds/1/ipv6_prefix",
                "/bounds/1/missing",
                "/bounds/1/window",
                "/bounds/2/name",
                "/bounds/2/by",
                "/bounds/2/burst",
                "/bounds/2/window",
                "/bounds/3/by",
                "/bounds/3/burst",
                "/cost",
                "/cost_attribute",
                "/forms",
            ]
        );
        assert_eq!(
            parse(r#"{"bounds":[]}"#).unwrap().check().unwrap_err()[0].at,
            "/bounds"
        );
    }

    /// The errors in one limit with these settings beside its name, limit and window.
    fn complaints_about(bound: &str, more: &str) -> Vec<Diagnostic> {
        let json = format!(
            "{{ \"bounds\": [{{ \"name\": \"a\", \"limit\": 4, \"window\": \"1m\", {bound} }}]{more} }}"
        );
        let settings = parse(&json).unwrap();
        let checked = settings.check();
        checked.err().unwrap_or_default()
    }

    #[test]
    fn a_value_that_tells_no_clients_apart_or_that_none_shares_is_refused() {
        for (bound, at, text) in [
            (
                r#""by":"header:connection""#,
                "by",
                "a field of the connection",
            ),
            (
                r#""by":"header:Transfer-Encoding""#,
                "by",
                "a field of the connection",
            ),
            (
                r#""by":"attribute:request.id""#,
                "by",
                "differs with each request",
            ),
            (
                r#""by":"attribute:client.port""#,
                "by",
                "differs with each request",
            ),
            (
                r#""by":"attribute:outcome.duration-us""#,
                "by",
                "not there before the answer",
            ),
            (
                r#""by":"client-address","ipv6_prefix":0"#,
                "ipv6_prefix",
                "leave `by` out",
            ),
            (
                r#""by":"client-address","ipv4_prefix":0"#,
                "ipv4_prefix",
                "leave `by` out",
            ),
        ] {
            let complaints = complaints_about(bound, "");
            assert_eq!(complaints.len(), 1, "{bound}: {complaints:?}");
            assert_eq!(complaints[0].at, format!("/bounds/0/{at}"));
            assert!(complaints[0].message.contains(text), "{complaints:?}");
        }
        assert_eq!(
            complaints_about(r#""by":"attribute:client.ip""#, "").len(),
            0
        );
    }

    #[test]
    fn other_ways_to_count_by_the_client_are_warned_of() {
        let json = r#"{"bounds":[
            {"name":"a","by":"attribute:client.ip","limit":1,"window":"1s"},
            {"name":"b","by":"client-address","limit":1,"window":"1s"},
            {"name":"c","by":"header:X-Forwarded-For","limit":1,"window":"1s"},
            {"name":"d","by":"header:x-tenant","limit":1,"window":"1s"}
        ]}"#;
        let settings = parse(json).unwrap();
        let places: Vec<_> = settings.advice().map(|(at, _)| at).collect();
        assert_eq!(places, ["/bounds/0/by", "/bounds/2/by"]);
    }

    #[test]
    fn a_cost_that_no_bound_ever_gives_is_refused() {
        for (bound, more, count) in [
            (r#""burst":9"#, r#", "cost": 9"#, 0),
            (r#""burst":9"#, r#", "cost": 10"#, 1),
            (r#""algorithm":"sliding-window""#, r#", "cost": 5"#, 1),
            (r#""shadow":true"#, r#", "cost": 5"#, 0),
            // With a cost attribute, requests may still pass.
            (
                r#""burst":2"#,
                r#", "cost": 5, "cost_attribute": "token.cost""#,
                0,
            ),
        ] {
            let complaints = complaints_about(bound, more);
            assert_eq!(complaints.len(), count, "{bound}{more}: {complaints:?}");
            assert!(complaints.iter().all(|complaint| complaint.at == "/cost"));
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(milliseconds("100ms"), Some(100));
        assert_eq!(milliseconds("2h"), Some(7_200_000));
        assert_eq!(milliseconds("31d"), Some(31 * 86_400_000));
        for wrong in [
            "",
            "1",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1w",
            "99999999999999999999d",
        ] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_a_bound_that_denies_requires_its_attribute() {
        let settings = parse(
            r#"{"bounds":[
                {"name":"a","by":"attribute:tenant","limit":1,"window":"1s","missing":"deny"},
                {"name":"b","by":"attribute:other","limit":1,"window":"1s"},
                {"name":"c","by":"attribute:route.id","limit":1,"window":"1s","missing":"deny"},
                {"name":"e","by":"attribute:shadow","limit":1,"window":"1s","missing":"deny","shadow":true},
                {"name":"d","by":"header:x-tenant","limit":1,"window":"1s"}
            ]}"#,
        )
        .unwrap();
        assert_eq!(settings.required().collect::<Vec<_>>(), ["tenant"]);
        assert_eq!(settings.read().collect::<Vec<_>>(), ["x-tenant"]);
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
