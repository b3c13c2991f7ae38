//! `[filter.<name>]`: a plugin with settings, and what it may do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::bounds;
use crate::config::MAX_DOCUMENTS;
use crate::config::field::{
    Choice, Defaults, Empty, Field, Is, Kind, List, Map, Nested, Optional, Parsed, Placed,
    Reference, Required, Section,
};
use crate::config::model::{
    Allow, Breaker, FilterConfig, FilterDocument, FilterLimits, HostInterface, Isolation, OnError,
    PluginSource, Recycle, Settings,
};
use crate::config::names::Group;
use crate::config::read::{Slot, Table};
use crate::config::source::Span;
use crate::config::value::name::name;
use crate::config::value::{Refused, attribute, plugin, settings};

/// `[filter.<name>]`.
pub(super) static FILTER: Section = Section {
    heading: "[filter.<name>]",
    doc: "A plugin with its settings. Routes list filters by name.",
    fields: &[
        &PLUGIN, &SETTINGS, &DOCUMENTS, &ALLOW, &LIMITS, &ON_ERROR, &ISOLATION, &RECYCLE, &BREAKER,
    ],
    hints: &[
        ("config", "a plugin's own keys stand in `settings = { .. }`"),
        (
            "document",
            "it is called `documents`: `documents = { <name> = \"<file>\" }`",
        ),
        (
            "files",
            "it is called `documents`: `documents = { <name> = \"<file>\" }`",
        ),
        ("path", "it is called `plugin`"),
        ("wasm", "it is called `plugin`"),
    ],
    short: None,
    private: false,
};

static PLUGIN: Field<Parsed<PluginSource>, Required> = Field::new(
    "plugin",
    Parsed {
        words: "`\"builtin:<name>\"`, or a path that ends in `.wasm`",
        pattern: "^(builtin:[A-Za-z0-9_-]+|.*\\.wasm)$",
        private: false,
        parse: plugin::source,
    },
    Required("\"builtin:api-key\""),
    "Its plugin: one that comes with the gateway, or a `.wasm` file relative to this one.",
);

static SETTINGS: Field<Free, Optional> = Field::new(
    "settings",
    Free,
    Optional("an empty table"),
    "The plugin's own keys, described in its README.",
);

static DOCUMENTS: Field<Map<Placed<Parsed<PathBuf>>>, Empty> = Field::new(
    "documents",
    Map {
        of: Placed(Parsed {
            words: "a path",
            pattern: "",
            private: false,
            parse: document,
        }),
        key: name,
        keys: "a name",
    },
    Empty("none"),
    "Files that the plugin reads while it gets its settings, by the names that its README says; relative to this file, at most 32. A reload reads them again.",
);

static ALLOW: Field<Nested<Allow>, Optional> = Field::new(
    "allow",
    Nested {
        section: &ALLOW_SECTION,
        read: allow,
    },
    Optional("nothing; for a `builtin:` plugin what its README lists"),
    "Its grants.",
);

static LIMITS: Field<Nested<FilterLimits>, Defaults> = Field::new(
    "limits",
    Nested {
        section: &bounds::LIMITS,
        read: bounds::limits,
    },
    Defaults,
    "How much it may use.",
);

static ON_ERROR: Field<Choice<OnError>, Is<OnError>> = Field::new(
    "on_error",
    Choice {
        options: &[("deny", OnError::Deny), ("skip", OnError::Skip)],
        hints: &[],
    },
    Is(OnError::Deny),
    "When it fails: refuse the request (500 `filter_failed`), or go on without it.",
);

static ISOLATION: Field<Choice<Isolation>, Is<Isolation>> = Field::new(
    "isolation",
    Choice {
        options: &[
            ("shared", Isolation::Shared),
            ("request", Isolation::Request),
        ],
        hints: &[],
    },
    Is(Isolation::Shared),
    "Whether an instance serves one call after another, or each call has a fresh one.",
);

static RECYCLE: Field<Nested<Recycle>, Defaults> = Field::new(
    "recycle",
    Nested {
        section: &bounds::RECYCLE,
        read: bounds::recycle,
    },
    Defaults,
    "When an instance is given up for a new one.",
);

static BREAKER: Field<Nested<Breaker>, Defaults> = Field::new(
    "breaker",
    Nested {
        section: &bounds::BREAKER,
        read: bounds::breaker,
    },
    Defaults,
    "When it keeps failing and is not called any more for a while.",
);

/// Reads one `[filter.<name>]`.
pub(super) fn filter(table: &mut Table<'_>) -> Option<FilterConfig> {
    let plugin = table.take(&PLUGIN);
    let settings = table.take(&SETTINGS);
    let documents = documents(table);
    let allow = table.take(&ALLOW);
    let limits = table.take(&LIMITS);
    let on_error = table.take(&ON_ERROR);
    let isolation = table.take(&ISOLATION);
    let recycle = table.take(&RECYCLE);
    let breaker = table.take(&BREAKER);
    let settings = settings.unwrap_or_else(|| Settings {
        json: json!({}),
        spans: BTreeMap::from([(String::new(), table.span())]),
    });
    use_names(table, &settings.json);
    Some(FilterConfig {
        name: table.name(),
        plugin: plugin?,
        plugin_span: table.span_of(PLUGIN.key),
        settings,
        documents,
        allow,
        limits: limits?,
        on_error,
        isolation,
        recycle: recycle?,
        breaker: breaker?,
        is_whole: table.are_whole(&[
            PLUGIN.key,
            SETTINGS.key,
            DOCUMENTS.key,
            ALLOW.key,
            LIMITS.key,
        ]),
        span: table.span(),
    })
}

fn document(text: &str, folder: &Path) -> Result<PathBuf, Refused> {
    if text.is_empty() {
        return Err(Refused::plain());
    }
    if text.contains("://") {
        let refused = Refused::because("is a URL");
        return Err(refused.help("documents are not fetched: download it and write its path"));
    }
    Ok(folder.join(text))
}

fn documents(table: &mut Table<'_>) -> Vec<FilterDocument> {
    let documents = table.take(&DOCUMENTS);
    if documents.len() > MAX_DOCUMENTS {
        let message = format!(
            "`documents` names {} files, wanted at most {MAX_DOCUMENTS}",
            documents.len()
        );
        table
            .error(table.span_of(DOCUMENTS.key), &message)
            .help("join some of them into one file, or give part of them to another filter");
    }
    let documents = documents.into_iter();
    documents
        .map(|(name, (path, span))| FilterDocument { name, path, span })
        .collect()
}

/// A plan, verifier, callout or secret that some text of the settings names is not reported as unused: the plugin knows.
fn use_names(table: &mut Table<'_>, json: &Json) {
    match json {
        Json::String(text) => {
            let names = &mut table.reader().names;
            let _ = names.use_name(Group::Plan, text);
            let _ = names.use_name(Group::Verifier, text);
            let _ = names.use_name(Group::Callout, text);
            let _ = names.use_name(Group::Secret, text);
        }
        Json::Array(items) => items.iter().for_each(|item| use_names(table, item)),
        Json::Object(members) => members.values().for_each(|value| use_names(table, value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// A table that only the plugin understands.
struct Free;

impl Kind for Free {
    type Value = Settings;

    fn words(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "object" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Settings> {
        let table = slot.table(|_| None)?;
        let (settings, unfit) = settings::from_table(table, slot.span());
        for (span, why) in unfit {
            slot.at(span).error(&format!("holds {why}"));
        }
        Some(settings)
    }
}

static ALLOW_SECTION: Section = Section {
    heading: "allow = { .. }",
    doc: "The grants of a filter. Importing an interface is not being allowed to use it.",
    fields: &[&INTERFACES, &ATTRIBUTES, &UPSTREAMS, &SECRETS, &CALLOUTS],
    hints: &[],
    short: None,
    private: false,
};

static INTERFACES: Field<List<Choice<HostInterface>>, Empty> = Field::new(
    "interfaces",
    List {
        of: Choice {
            options: &[
                ("api-description", HostInterface::ApiDescription),
                ("cache", HostInterface::Cache),
                ("callout", HostInterface::Callout),
                ("crypto", HostInterface::Crypto),
                ("jwt", HostInterface::Jwt),
                ("keys", HostInterface::Keys),
                ("limits", HostInterface::Limits),
                ("metrics", HostInterface::Metrics),
                ("rates", HostInterface::Rates),
            ],
            hints: &[],
        },
        least: 0,
        repeats: false,
    },
    Empty("none"),
    "Host interfaces; `exchange`, `documents` and `log` need no grant.",
);

static ATTRIBUTES: Field<List<Parsed<String>>, Empty> = Field::new(
    "attributes",
    List {
        of: Parsed {
            words: "the name of an attribute, or a prefix such as `\"consumer.*\"`",
            pattern: "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*(\\.\\*)?$",
            private: false,
            parse: |text, _| attribute::pattern(text),
        },
        least: 0,
        repeats: false,
    },
    Empty("none"),
    "Attributes that it may write; reading needs no grant.",
);

static UPSTREAMS: Field<List<Reference>, Empty> = Field::new(
    "upstreams",
    List {
        of: Reference(Group::Upstream),
        least: 0,
        repeats: false,
    },
    Empty("none"),
    "Upstreams that it may route to.",
);

static SECRETS: Field<List<Reference>, Empty> = Field::new(
    "secrets",
    List {
        of: Reference(Group::Secret),
        least: 0,
        repeats: false,
    },
    Empty("none"),
    "Secrets that it may use, by name, through `crypto` and `callout`.",
);

static CALLOUTS: Field<List<Reference>, Empty> = Field::new(
    "callouts",
    List {
        of: Reference(Group::Callout),
        least: 0,
        repeats: false,
    },
    Empty("none"),
    "The `[callout.<name>]` that it may ask, through `callout`.",
);

fn allow(table: &mut Table<'_>) -> Option<Allow> {
    let span: Span = table.span();
    let upstreams = table.take(&UPSTREAMS);
    let secrets = table.take(&SECRETS);
    let callouts = table.take(&CALLOUTS);
    Some(Allow {
        interfaces: table.take(&INTERFACES),
        attributes: table.take(&ATTRIBUTES),
        upstreams: upstreams
            .into_iter()
            .map(|upstream| upstream.place)
            .collect(),
        secrets: secrets.into_iter().map(|secret| secret.place).collect(),
        callouts: callouts.into_iter().map(|one| one.place).collect(),
        span,
    })
}
