//! `[[key]]` and `[secret.<name>]`: the sections whose values no report may show.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value as Json, json};
use toml::de::{DeTable, DeValue};

use crate::config::field::{
    Empty, Field, Flag, Is, Kind, List, Map, Optional, Parsed, Reference, Required, Section,
};
use crate::config::model::{Key, Secret, SecretSource};
use crate::config::names::Group;
use crate::config::read::{Slot, Table};
use crate::config::value::name::{is_name, is_variable, line, name};
use crate::config::value::{Refused, digest, instant};

/// `[[key]]`.
pub(super) static KEY: Section = Section {
    heading: "[[key]]",
    doc: "An API key, by its digest only: `windlass key new` makes one and prints this entry.",
    fields: &[
        &ID,
        &CONSUMER,
        &DIGEST,
        &PLAN,
        &PLANS,
        &ENABLED,
        &EXPIRES,
        &ATTRIBUTES,
    ],
    hints: &[
        ("key", ONLY_DIGESTS),
        ("value", ONLY_DIGESTS),
        ("secret", ONLY_DIGESTS),
        (
            "name",
            "a key has an `id`, and a `consumer` whom it was issued to",
        ),
    ],
    short: None,
    private: true,
};

const ONLY_DIGESTS: &str = "only the digest of a key stands in the file: `windlass key new` makes a key and prints its `digest`";

static ID: Field<Parsed<String>, Required> = Field::new(
    "id",
    Parsed {
        words: "a name of letters, digits, `_` and `-`",
        pattern: "^[A-Za-z0-9_-]{1,64}$",
        private: false,
        parse: |text, _| name(text),
    },
    Required("\"acme-1\""),
    "Its public name, the attribute `api-key.id`; unique.",
);

static CONSUMER: Field<Parsed<String>, Required> = Field::new(
    "consumer",
    LINE,
    Required("\"acme\""),
    "The consumer that it was issued to, the attribute `consumer.id`.",
);

const LINE: Parsed<String> = Parsed {
    words: "a text of one line",
    pattern: "",
    private: false,
    parse: |text, _| line(text),
};

static DIGEST: Field<Parsed<[u8; 32]>, Required> = Field::new(
    "digest",
    Parsed {
        words: "`sha256:` and 64 hex digits",
        pattern: "^sha256:[0-9A-Fa-f]{64}$",
        private: true,
        parse: |text, _| digest::parse(text),
    },
    Required("\"sha256:<64 hex digits>\""),
    "The SHA-256 of its text, as `sha256:` and 64 hex digits; unique, and never the key itself.",
);

static PLAN: Field<Reference, Optional> = Field::new(
    "plan",
    Reference(Group::Plan),
    Optional("no plan"),
    "Its usage plan, where it has one only.",
);

static PLANS: Field<List<Reference>, Empty> = Field::new(
    "plans",
    List {
        of: Reference(Group::Plan),
        least: 0,
        repeats: false,
    },
    Empty("that of `plan`"),
    "Its usage plans: one for each API at most.",
);

static ENABLED: Field<Flag, Is<bool>> =
    Field::new("enabled", Flag, Is(true), "Whether it is accepted.");

static EXPIRES: Field<Instant, Optional> =
    Field::new("expires", Instant, Optional("never"), "When it ends.");

static ATTRIBUTES: Field<Map<Parsed<String>>, Empty> = Field::new(
    "attributes",
    Map {
        of: LINE,
        key: name,
        keys: "a name of letters, digits, `_` and `-`",
    },
    Empty("none"),
    "More facts about it; filters read these through the `keys` interface.",
);

/// A date-time with an offset from UTC.
struct Instant;

impl Kind for Instant {
    type Value = SystemTime;

    fn words(&self) -> String {
        "a date-time such as `2027-01-01T00:00:00Z`".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "format": "date-time" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<SystemTime> {
        let DeValue::Datetime(value) = slot.value() else {
            let quoted = slot.as_text().is_some();
            let problem = slot.wants(&self.words());
            if quoted {
                problem.help("date-times stand without quotes in TOML");
            }
            return None;
        };
        match instant::point(value) {
            Ok(point) => Some(point),
            Err(refused) => {
                slot.refuse(Some(&value.to_string()), &self.words(), refused);
                None
            }
        }
    }
}

/// What a key is called in reports.
pub(super) fn title(values: &DeTable<'_>) -> String {
    let id = values.get("id").and_then(|id| id.get_ref().as_str());
    match id.filter(|id| is_name(id)) {
        Some(id) => format!("key `{id}`"),
        None => "key".to_owned(),
    }
}

/// Reads one `[[key]]`.
pub(super) fn key(table: &mut Table<'_>) -> Option<Key> {
    let id = table.take(&ID);
    let consumer = table.take(&CONSUMER);
    let digest = table.take(&DIGEST);
    let plans = plans(table);
    let enabled = table.take(&ENABLED);
    let expires = table.take(&EXPIRES);
    let attributes: BTreeMap<String, String> = table.take(&ATTRIBUTES);
    let span = table.span_of(ID.key);
    if let Some(id) = &id
        && let Some(line) = table.earlier("key", id, span)
    {
        table.error(
            span,
            &format!("`id` holds `{id}`, which line {line} has already"),
        );
    }
    let span = table.span_of(DIGEST.key);
    if let Some(digest) = &digest
        && let Some(line) = table.earlier("digest", &format!("{digest:?}"), span)
    {
        let message = format!("`digest` is that of the key in line {line}");
        table
            .error(span, &message)
            .help("`windlass key new` makes another key");
    }
    Some(Key {
        id: Arc::from(id?),
        consumer: Arc::from(consumer?),
        digest: digest?,
        plans,
        enabled,
        expires,
        attributes,
        span: table.span(),
    })
}

/// The places of its plans; reports both keys, and two plans for one API.
fn plans(table: &mut Table<'_>) -> Vec<usize> {
    let plan = table.take(&PLAN);
    let plans = table.take(&PLANS);
    if table.has(PLAN.key) && table.has(PLANS.key) {
        let span = table.span_of(PLAN.key).max(table.span_of(PLANS.key));
        table
            .error(span, "has both `plan` and `plans`, wanted one of them")
            .help("write all of them in `plans`");
    }
    for (place, later) in plans.iter().enumerate() {
        let mut earlier = plans.iter().take(place);
        let Some(shared) = earlier.find_map(|one| shared(table, one.place, later.place)) else {
            continue;
        };
        table
            .error(later.span, &shared)
            .help("one plan a key for each API: say in `apis` of each plan what it is sold for");
    }
    plan.into_iter()
        .chain(plans)
        .map(|plan| plan.place)
        .collect()
}

/// What two plans share, if they do. Says nothing of one that could not be read.
fn shared(table: &mut Table<'_>, one: usize, other: usize) -> Option<String> {
    let reader = table.reader();
    let (of_one, of_other) = (reader.plan_apis.get(&one)?, reader.plan_apis.get(&other)?);
    let names = &reader.names;
    let both = of_one.iter().find(|api| of_other.contains(api));
    let what = match (of_one.as_slice(), of_other.as_slice(), both) {
        (_, _, Some(api)) => format!("API `{}`", names.at(Group::Api, *api)),
        ([], [], None) => "every API".to_owned(),
        ([], [api, ..], None) | ([api, ..], [], None) => {
            format!("API `{}`", names.at(Group::Api, *api))
        }
        ([_, ..], [_, ..], None) => return None,
    };
    let (one, other) = (names.at(Group::Plan, one), names.at(Group::Plan, other));
    Some(format!(
        "`plans` holds `{one}` and `{other}`, which are both sold for {what}"
    ))
}

/// `[secret.<name>]`.
pub(super) static SECRET: Section = Section {
    heading: "[secret.<name>]",
    doc: "A value that filters use by name and never see. Exactly one of `env` and `file`.",
    fields: &[&ENV, &FILE],
    hints: &[
        ("value", NO_VALUES),
        ("secret", NO_VALUES),
        ("text", NO_VALUES),
        ("key", NO_VALUES),
        ("path", "it is called `file`"),
    ],
    short: None,
    private: true,
};

const NO_VALUES: &str =
    "a secret itself never stands in the file: `env` names an environment variable, `file` a file";

static ENV: Field<Parsed<String>, Optional> = Field::new(
    "env",
    Parsed {
        words: "the name of an environment variable",
        pattern: "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        private: true,
        parse: |text, _| {
            if is_variable(text) {
                Ok(text.to_owned())
            } else {
                Err(
                    Refused::because("is not the name of an environment variable").help(
                        "write the name of the variable, such as `\"ORDERS_HMAC\"`, not its value",
                    ),
                )
            }
        },
    },
    Optional("then `file` must be there"),
    "The environment variable that holds it.",
);

static FILE: Field<Parsed<PathBuf>, Optional> = Field::new(
    "file",
    Parsed {
        words: "a file",
        pattern: "",
        private: true,
        parse: |text, folder| match line(text) {
            Ok(text) => Ok(folder.join(text)),
            Err(_) => Err(Refused::because("is no path")),
        },
    },
    Optional("then `env` must be there"),
    "The file that holds it, relative to this one; one newline at its end is left out.",
);

/// Reads one `[secret.<name>]`.
pub(super) fn secret(table: &mut Table<'_>) -> Option<Secret> {
    let env = table.take(&ENV);
    let file = table.take(&FILE);
    let from = match (table.has(ENV.key), table.has(FILE.key)) {
        (true, true) => {
            let span = table.span_of(FILE.key).max(table.span_of(ENV.key));
            table.error(span, "has both `env` and `file`, wanted exactly one");
            None
        }
        (false, false) => {
            if !table.is_incomplete() {
                let span = table.span();
                table
                    .error(span, "has neither `env` nor `file`, wanted exactly one")
                    .help(
                        "add `env = \"<name of an environment variable>\"` or `file = \"<path>\"`",
                    );
            }
            None
        }
        (true, false) => env.map(SecretSource::Environment),
        (false, true) => file.map(SecretSource::File),
    };
    Some(Secret {
        name: table.name(),
        from: from?,
        span: table.span(),
    })
}
