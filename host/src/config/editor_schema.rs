//! The JSON Schema for editors: that of the file, and in it those of plugins' settings.
//!
//! A plugin gives a schema of its own, whatever its author wrote there. It goes under `definitions`, and a filter's
//! `settings` refers to it if the filter's `plugin` is that text. Draft 7: what TOML editors understand. A plugin's schema
//! of a later draft works too, except for the words that draft 7 does not know: an editor passes over these, and the
//! plugin itself checks its settings in the end. References to other documents are left out, so that no editor fetches
//! what a plugin names.

use serde_json::{Map, Value as Json, json};

use super::reference;

/// The schema of a plugin's settings.
#[derive(Debug, Clone)]
pub(crate) struct SettingsSchema {
    /// The `plugin` of filters that it is for.
    pub(crate) plugin: String,
    /// Its name among the definitions.
    pub(crate) name: String,
    /// The plugin's JSON Schema.
    pub(crate) schema: Json,
}

/// Members that would change how the whole document is read.
const OF_DOCUMENTS: [&str; 6] = [
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$vocabulary",
];

/// Members whose values are data, not schemas.
const OF_DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// The schema of the file with those of these plugins.
#[must_use]
pub(crate) fn editor_schema(plugins: Vec<SettingsSchema>) -> Json {
    let mut schema = reference::schema();
    let mut definitions = Map::new();
    let mut rules = Vec::new();
    for plugin in plugins {
        let name = free_name(&definitions, &plugin.name);
        let to = format!("#/definitions/{name}");
        let needs_settings = plugin.schema.get("required").and_then(Json::as_array);
        let needs_settings = needs_settings.is_some_and(|keys| !keys.is_empty());
        let mut then = json!({ "properties": { "settings": { "$ref": to } } });
        if needs_settings && let Some(then) = then.as_object_mut() {
            then.insert("required".to_owned(), json!(["settings"]));
        }
        rules.push(json!({
            "if": { "properties": { "plugin": { "const": plugin.plugin } }, "required": ["plugin"] },
            "then": then,
        }));
        definitions.insert(name, moved(plugin.schema, &to));
    }
    let filter = schema.pointer_mut("/properties/filter/additionalProperties");
    if let Some(filter) = filter.and_then(Json::as_object_mut) {
        filter.insert("allOf".to_owned(), Json::Array(rules));
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("definitions".to_owned(), Json::Object(definitions));
    }
    schema
}

/// A name that needs no escapes in a reference, and that no other definition has.
fn free_name(taken: &Map<String, Json>, name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ":._-".contains(letter);
    let name: String = name
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '-' })
        .collect();
    let mut free = name.clone();
    let mut number = 1;
    while taken.contains_key(&free) {
        number += 1;
        free = format!("{name}-{number}");
    }
    free
}

/// A schema as a part of another document: what it refers to within itself is found at `to`.
fn moved(schema: Json, to: &str) -> Json {
    match schema {
        Json::Object(members) => {
            let members = members.into_iter().filter_map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("$ref", Json::String(text)) => Json::String(moved_reference(&text, to)?),
                    (name, Json::String(_)) if OF_DOCUMENTS.contains(&name) => return None,
                    (name, value) if OF_DATA.contains(&name) => value,
                    (_, value) => moved(value, to),
                };
                Some((name, value))
            });
            Json::Object(members.collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(|item| moved(item, to)).collect()),
        other => other,
    }
}

/// None: it is in another document, or is a name that only that document knows.
fn moved_reference(text: &str, to: &str) -> Option<String> {
    let inside = text.strip_prefix('#')?;
    (inside.is_empty() || inside.starts_with('/')).then(|| format!("{to}{inside}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(name: &str, schema: Json) -> SettingsSchema {
        SettingsSchema {
            plugin: format!("{name}.wasm"),
            name: name.to_owned(),
            schema,
        }
    }

    #[test]
    fn references_lead_into_the_definition() {
        let own = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://a.example/x",
            "required": ["a"],
            "properties": {
                "a": { "$ref": "#/$defs/A" },
                "self": { "$ref": "#" },
                "far": { "$ref": "https://a.example/schema", "type": "string" },
                "$ref": { "type": "string" },
                "data": { "default": { "$ref": "#/x" }, "enum": [{ "$id": "y" }] },
            },
            "$defs": { "A": { "type": "integer" } },
        });
        let merged = editor_schema(vec![schema("a b", own)]);
        let found = &merged["definitions"]["a-b"];
        assert_eq!(
            found["properties"]["a"]["$ref"],
            "#/definitions/a-b/$defs/A"
        );
        assert!(merged.pointer("/definitions/a-b/$defs/A").is_some());
        assert_eq!(found["properties"]["self"]["$ref"], "#/definitions/a-b");
        assert_eq!(found["properties"]["far"], json!({ "type": "string" }));
        assert_eq!(found["properties"]["$ref"], json!({ "type": "string" }));
        let data = json!({ "default": { "$ref": "#/x" }, "enum": [{ "$id": "y" }] });
        assert_eq!(found["properties"]["data"], data);
        assert!(found.get("$schema").is_none() && found.get("$id").is_none());
    }

    #[test]
    fn a_filter_has_the_schema_of_its_plugin() {
        let merged = editor_schema(vec![
            schema("a", json!({ "required": ["x"] })),
            schema("a", json!({ "type": "object" })),
        ]);
        let rules = &merged["properties"]["filter"]["additionalProperties"]["allOf"];
        assert_eq!(rules[0]["if"]["properties"]["plugin"]["const"], "a.wasm");
        assert_eq!(rules[0]["then"]["required"], json!(["settings"]));
        let second = &rules[1]["then"];
        assert_eq!(
            second["properties"]["settings"]["$ref"],
            "#/definitions/a-2"
        );
        assert!(second.get("required").is_none());
    }
}
