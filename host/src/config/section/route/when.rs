//! `when` of a `[[route]]`: the conditions beside host, path and method.

use http::HeaderName;
use ipnet::IpNet;
use serde_json::{Value as Json, json};
use toml::de::DeValue;
use windlass_config_derive::FromTable;

use crate::config::field::{Kind, Map, Nested, Parsed, Section};
use crate::config::read::{Slot, Table};
use crate::config::value::Refused;
use crate::config::value::message::field_name;
use crate::model::condition::{Conditions, TextPattern, ValueMatch, ValueRule};

/// What a request must be like for the route, beside its host, path and method. All of it must hold; otherwise the
/// request goes on as if the route were not there.
#[derive(FromTable)]
#[table(heading = "when = { .. }", into = Conditions, make = conditions)]
#[hint("header http_header http-header" => "it is called `headers`: `headers = { x-version = \"2\" }`")]
#[hint("query_string query-string query_params parameters params" => "it is called `query`: `query = { beta = \"1\" }`")]
#[hint("cookie" => "it is called `cookies`: `cookies = { group = \"a\" }`")]
#[hint("hosts host path methods method" => "it is a key of the route itself")]
pub(super) struct ConditionKeys {
    /// Header fields by name, in any case. Of a field that comes several times, one value must match.
    #[key(absent = "any", kind = HEADERS)]
    headers: Vec<(HeaderName, ValueRule)>,
    /// Parameters of the query by name, decoded. Of one that comes several times, one value must match.
    #[key(absent = "any", kind = NAMED)]
    query: Vec<(String, ValueRule)>,
    /// Cookies by name.
    #[key(absent = "any", kind = NAMED)]
    cookies: Vec<(String, ValueRule)>,
    /// The networks of clients, by the address that trusted proxies name.
    #[key(
        absent = "any",
        synonyms = "source_ip source-ip client_ip remote_addr sources cidr"
    )]
    source: Vec<IpNet>,
    /// A regular expression that the whole path must match, that of the API included, where a path pattern cannot say
    /// it.
    #[key(absent = "any", kind = REGEX, synonyms = "regex uri_regex")]
    path_regex: Option<TextPattern>,
}

fn conditions(table: &mut Table<'_>, keys: ConditionKeys) -> Conditions {
    let ConditionKeys {
        headers,
        query,
        cookies,
        source,
        path_regex,
    } = keys;
    let found = Conditions {
        headers,
        query,
        cookies,
        sources: source,
        path: path_regex,
    };
    let keys = ["headers", "query", "cookies", "source", "path_regex"];
    if found.count() == 0 && table.are_whole(&keys) {
        let span = table.span();
        table
            .error(span, "`when` demands nothing")
            .help("leave `when` out, or add a condition such as `headers = { x-version = \"2\" }`");
    }
    found
}

pub(super) const REGEX: Parsed<TextPattern> = Parsed::new("a regular expression", |text| {
    TextPattern::regex(text).map_err(Refused::because)
});

type Rules<N> = crate::config::field::Then<Map<Rule>, Vec<(N, ValueRule)>>;

const HEADERS: Rules<HeaderName> = Rules {
    of: Map {
        of: Rule,
        key: |name| Ok(field_name(name)?.as_str().to_owned()),
        keys: "a field name",
    },
    make: |rules, _| {
        let rules = rules?.into_iter();
        let named = rules.map(|(name, rule)| Some((HeaderName::try_from(name).ok()?, rule)));
        named.collect()
    },
};

const NAMED: Rules<String> = Rules {
    of: Map {
        of: Rule,
        key: |name| Ok(name.to_owned()),
        keys: "a name",
    },
    make: |rules, _| Some(rules?.into_iter().collect()),
};

/// A regular expression in the place of a value.
#[derive(FromTable)]
#[table(heading = "<name> = { .. }", into = ValueMatch, make = pattern)]
#[hint("exact equals value" => "write the text itself, without a table")]
#[hint("prefix" => "write the text with a `*` at its end, without a table")]
#[hint("suffix contains" => "write the text with `*`, without a table")]
#[hint("present" => "write `true` in the place of the table")]
struct PatternKeys {
    /// A regular expression that the whole value must match.
    #[key(required = "v[0-9]+", kind = REGEX)]
    regex: TextPattern,
}

fn pattern(_table: &mut Table<'_>, keys: PatternKeys) -> ValueMatch {
    ValueMatch::Pattern(keys.regex)
}

const PATTERN: Nested<ValueMatch> = Nested::of::<PatternKeys>();

const TEXT: Parsed<ValueMatch> = Parsed::new(
    "a text, in which `*` stands for any characters",
    |text| match text.contains('*') {
        false => Ok(ValueMatch::Exact(text.into())),
        true => {
            let made = TextPattern::wildcard(text).map_err(Refused::because);
            made.map(ValueMatch::Pattern)
        }
    },
);

/// `true`, `false`, a text, a list of texts, or a table with a regular expression.
struct Rule;

impl Kind for Rule {
    type Value = ValueRule;

    fn words(&self) -> String {
        "a text, in which `*` stands for any characters; a list of them; `{ regex = \"..\" }`; `true` for any value, \
         `false` for none"
            .to_owned()
    }

    fn schema(&self) -> Json {
        let text = Kind::schema(&TEXT);
        let list = json!({ "type": "array", "items": text, "minItems": 1 });
        json!({ "anyOf": [text, list, { "type": "boolean" }, Kind::schema(&PATTERN)] })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<ValueRule> {
        match slot.value {
            DeValue::Boolean(true) => Some(ValueRule::Present),
            DeValue::Boolean(false) => Some(ValueRule::Absent),
            DeValue::Table(_) => Some(ValueRule::OneOf(vec![PATTERN.read(slot)?])),
            DeValue::Array(array) if array.is_empty() => {
                slot.error("is empty, wanted at least one");
                None
            }
            DeValue::Array(array) => {
                let items = array.iter();
                let all = items.map(|item| TEXT.read(&mut slot.item(item)));
                Some(ValueRule::OneOf(all.collect::<Option<_>>()?))
            }
            DeValue::String(_) => Some(ValueRule::OneOf(vec![TEXT.read(slot)?])),
            _ => {
                let number = slot.value.as_integer().map(ToString::to_string);
                let cure = number.map(|number| format!("write `\"{number}\"`"));
                slot.wants(&self.words()).help_if(cure);
                None
            }
        }
    }

    fn section(&self) -> Option<&'static Section> {
        Some(PATTERN.section)
    }
}
