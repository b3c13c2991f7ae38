//! `[filter.<name>]`: a plugin with settings, and what it may do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use toml::de::DeValue;
use windlass_config_derive::FromTable;

use super::Config;
use super::bounds::{Breaker, FilterLimits, Recycle};
use crate::config::MAX_DOCUMENTS;
use crate::config::field::{
    FromValue, Kind, Map, Parsed, Placed, Reference, Then, placed, text_values,
};
use crate::config::names::Group;
use crate::config::read::{Slot, Table};
use crate::config::source::Span;
use crate::config::value::name::name;
use crate::config::value::{Refused, attribute, plugin, settings};
use crate::model::filter::{HostInterface, Isolation, OnError};
use crate::model::oci::OciReference;
use crate::model::sha256::Sha256;

/// A plugin with its settings. Routes list filters by name.
#[derive(Debug, FromTable)]
#[table(heading = "[filter.<name>]", make = filter)]
#[hint("config" => "write a plugin's own keys in `settings = { .. }`")]
#[hint("document files" => "it is called `documents`: `documents = { <name> = \"<file>\" }`")]
pub struct FilterConfig {
    #[key(with = Table::name)]
    pub name: Arc<str>,
    /// The plugin: one that comes with the gateway, a `.wasm` file relative to this one, an artifact
    /// in an OCI registry by its digest, or a file at a URL with `sha256`.
    #[key(required = "builtin:api-key", synonyms = "path wasm")]
    pub plugin: PluginSource,
    /// The `plugin` value in the file.
    #[key(span_of = "plugin")]
    pub(crate) plugin_span: Span,
    /// The SHA-256 that the plugin's file must have: 64 hex digits. Required for a URL.
    #[key(absent = "any content, for a path", synonyms = "checksum digest")]
    pub sha256: Option<Sha256>,
    /// The `sha256` value in the file.
    #[key(span_of = "sha256")]
    pub(crate) sha256_span: Span,
    /// The public key, in PEM, whose owner must have signed the artifact by `cosign sign --key`:
    /// ECDSA (P-256, P-384) or Ed25519. Relative to this file; for `oci://` only.
    #[key(
        absent = "no signature is needed",
        synonyms = "cosign cosign_key public_key"
    )]
    pub signed_by: Option<PathBuf>,
    /// The `signed_by` value in the file.
    #[key(span_of = "signed_by")]
    pub(crate) signed_by_span: Span,
    /// The plugin's own settings, described in its README.
    #[key(absent = "an empty table")]
    pub settings: Settings,
    /// Files that the plugin reads when it gets its settings, by the names that its README lists.
    /// Paths are relative to this file; at most 32 files. A reload reads them again.
    #[key(absent = "none", kind = DOCUMENTS)]
    pub documents: Vec<FilterDocument>,
    /// The grants of the filter.
    #[key(absent = "nothing; for a `builtin:` plugin what its README lists")]
    pub allow: Option<Allow>,
    /// How much the filter may use.
    #[key(default = "{}")]
    pub limits: FilterLimits,
    /// The result of a filter's failure: `deny` refuses the request (500 `filter_failed`); `skip`
    /// goes on without the filter.
    #[key(default = "deny")]
    pub on_error: OnError,
    /// With `shared`, an instance serves one call after another; with `request`, each call gets a
    /// new instance.
    #[key(default = "shared")]
    pub isolation: Isolation,
    /// When Windlass replaces an instance.
    #[key(default = "{}")]
    pub recycle: Recycle,
    /// When Windlass stops calling a filter that keeps failing.
    #[key(default = "{}")]
    pub breaker: Breaker,
    /// Whether all that it is started with could be read.
    #[key(with = is_whole)]
    pub(crate) is_whole: bool,
    /// The table's name in the file.
    #[key(with = Table::span)]
    pub span: Span,
}

impl Config {
    /// The text of a filter's `plugin`, as it stands in the file.
    pub(crate) fn plugin_text(&self, filter: &FilterConfig) -> Option<String> {
        let span = filter.plugin_span;
        let text = self.source.text.get(span.start..span.end)?;
        let value = DeValue::parse(text).ok()?;
        Some(value.get_ref().as_str()?.to_owned())
    }
}

impl FilterConfig {
    /// A setting that is a text.
    pub(crate) fn text_setting(&self, key: &str) -> Option<&str> {
        self.settings.json.get(key)?.as_str()
    }

    /// The texts of a setting that is a list, each with its index.
    pub(crate) fn list_setting(&self, key: &str) -> impl Iterator<Item = (usize, &str)> {
        let list = self.settings.json.get(key).and_then(Json::as_array);
        let items = list.into_iter().flatten().enumerate();
        items.filter_map(|(index, item)| Some((index, item.as_str()?)))
    }

    /// Where the value of a JSON pointer in the settings is; the table's name for one that is left
    /// out.
    pub(crate) fn span_at(&self, pointer: &str) -> Span {
        let span = self.settings.spans.get(pointer).copied();
        span.unwrap_or(self.span)
    }
}

/// The code of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// One that comes with the gateway.
    Builtin(String),
    /// A file; relative names are resolved against the config file's folder.
    File(PathBuf),
    /// An artifact in a registry.
    Artifact(OciReference),
    /// A file at this URL.
    Download(String),
}

impl PluginSource {
    /// Whether it is the plugin of this name that comes with the gateway.
    pub(crate) fn is_builtin(&self, name: &str) -> bool {
        matches!(self, Self::Builtin(own) if own == name)
    }
}

text_values! {
    PluginSource: Parsed::in_folder(
        "`\"builtin:<name>\"`, a path that ends in `.wasm`, `\"oci://..\"` or `\"https://..\"`",
        plugin::source,
    )
    .matching("^(builtin:[A-Za-z0-9_-]+|.*\\.wasm|oci://.+|https?://.+)$");
    Sha256: Parsed::new("64 hex digits", plugin::digest)
        .matching("^(sha256:)?[0-9A-Fa-f]{64}$");
}

/// A file of a filter's `documents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterDocument {
    /// The plugin finds it by this name.
    pub name: String,
    /// The file; relative names are resolved against the config file's folder.
    pub path: PathBuf,
    /// The path in the file.
    pub span: Span,
}

/// A plugin's settings: JSON for the plugin, and where each value stands in the file. The
/// default is the empty object.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The table as JSON; an empty object where the file has none.
    pub json: serde_json::Value,
    /// Where the value of each JSON pointer (RFC 6901) stands; `""` is the whole.
    pub spans: BTreeMap<String, Span>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            json: json!({}),
            spans: BTreeMap::from([(String::new(), Span::default())]),
        }
    }
}

/// The grants of a filter: importing an interface does not grant it.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromTable)]
#[table(heading = "allow = { .. }")]
pub struct Allow {
    /// Host interfaces that it may call. `exchange`, `documents` and `log` need no grant.
    #[key(absent = "none")]
    pub interfaces: Vec<HostInterface>,
    /// Attributes that it may write. Reading needs no grant.
    #[key(absent = "none", each = ATTRIBUTE)]
    pub(crate) attributes: Vec<String>,
    /// Upstreams that it may route to.
    #[key(absent = "none", each = Reference(Group::Upstream))]
    pub upstreams: Vec<usize>,
    /// Secrets that it may use by name, through `crypto` and `callout`.
    #[key(absent = "none", each = Reference(Group::Secret))]
    pub secrets: Vec<usize>,
    /// The `[callout.<name>]` that it may ask, through `callout`.
    #[key(absent = "none", each = Reference(Group::Callout))]
    pub(crate) callouts: Vec<usize>,
    /// The `allow` value in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

const ATTRIBUTE: Parsed<String> = Parsed::new(
    "the name of an attribute, or a prefix such as `\"consumer.*\"`",
    attribute::pattern,
)
.matching("^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*(\\.\\*)?$");

fn filter(table: &mut Table<'_>, mut filter: FilterConfig) -> FilterConfig {
    if !table.has("settings") {
        filter.settings.spans.insert(String::new(), table.span());
    }
    use_names(table, &filter.settings.json);
    pinned(table, &filter);
    filter
}

/// Reports a download without a digest, and a digest that checks nothing.
fn pinned(table: &mut Table<'_>, filter: &FilterConfig) {
    match &filter.plugin {
        PluginSource::Builtin(_) => {
            table.idle(&["sha256"], "for a plugin that comes with the gateway");
        }
        PluginSource::Artifact(_) => table.idle(
            &["sha256"],
            "for an artifact: the digest in `plugin` is what Windlass checks",
        ),
        PluginSource::Download(url) if filter.sha256.is_none() && !table.is_incomplete() => {
            if !table.has("sha256") && !table.has_meant("sha256") {
                table
                    .error_at("plugin", "`plugin` is a URL without `sha256`: Windlass would run whatever the server sends")
                    .help(format!(
                        "add `sha256 = \"<64 hex digits>\"`: `windlass plugin pull {url}` prints it"
                    ));
            }
        }
        PluginSource::File(_) | PluginSource::Download(_) => {}
    }
    // Unlike a digest too many, this is an error: whoever wrote it counts on it.
    if filter.signed_by.is_some() && !matches!(filter.plugin, PluginSource::Artifact(_)) {
        table
            .error_at("signed_by", "`signed_by` is for plugins in a registry (`oci://`): no other has a signature that Windlass could check")
            .help("push the plugin to a registry and sign it there, or remove `signed_by` and name the file's `sha256`");
    }
}

fn is_whole(table: &mut Table<'_>) -> bool {
    table.are_whole(&["plugin", "settings", "documents", "allow", "limits"])
}

/// Names of documents, and their files.
pub(super) const DOCUMENTS: Then<Map<Placed<Parsed<PathBuf>>>, Vec<FilterDocument>> = Then {
    of: Map {
        of: placed(Parsed::in_folder("a path", document)),
        key: name,
        keys: "a name",
    },
    make: |documents, slot| {
        let documents = documents?;
        if documents.len() > MAX_DOCUMENTS {
            let number = documents.len();
            slot.error(&format!(
                "names {number} files, wanted at most {MAX_DOCUMENTS}"
            ))
            .help("join some of them into one file, or give part of them to another filter");
        }
        let documents = documents.into_iter();
        let document = |(name, (path, span))| FilterDocument { name, path, span };
        Some(documents.map(document).collect())
    },
};

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

/// A plan, verifier, callout or secret that some text of the settings names is not reported as unused: the plugin knows.
fn use_names(table: &mut Table<'_>, json: &Json) {
    match json {
        Json::String(text) => {
            let names = &mut table.reader.names;
            for group in [Group::Plan, Group::Verifier, Group::Callout, Group::Secret] {
                let _ = names.use_name(group, text);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| use_names(table, item)),
        Json::Object(members) => members.values().for_each(|value| use_names(table, value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// A table that only the plugin understands.
pub(crate) struct Free;

impl FromValue for Settings {
    type Kind = Free;
    const KIND: Free = Free;
}

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
        let (settings, unfit) = settings::from_table(table, slot.span);
        for (span, why) in unfit {
            slot.at(span).error(&format!("holds {why}"));
        }
        Some(settings)
    }
}
