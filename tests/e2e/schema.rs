//! `windlass schema` has the settings of every plugin of a configuration, also while the file is wrong.

use serde_json::{Value, json};
use windlass_tests::{Builder, Finished, Gateway, command};

/// A filter in C that gives a schema of its settings.
const FILTER: &[u8] = include_bytes!("../guests/c/filter.wasm");

fn schema(builder: Builder) -> (Finished, Value) {
    let mut folder = None;
    let _builder = builder.in_folder(|path| folder = Some(path.to_owned()));
    let mut schema = command(["schema", "--config", "windlass.toml"]);
    schema.current_dir(folder.unwrap());
    let printed = Finished::of_command(&mut schema, "");
    let read = serde_json::from_str(&printed.output).unwrap_or_default();
    (printed, read)
}

fn config(filters: &str) -> Builder {
    let route = "[[route]]\npath = \"$default\"\nfilters = [\"a\"]\nrespond = {}\n";
    Gateway::with_config(format!("{route}{filters}")).file("own.wasm", FILTER)
}

/// The reference of the settings of filters with this `plugin`.
fn reference<'a>(schema: &'a Value, plugin: &str) -> Option<&'a str> {
    let rules = schema.pointer("/properties/filter/additionalProperties/allOf")?;
    let mut rules = rules.as_array()?.iter();
    let rule =
        rules.find(|rule| rule.pointer("/if/properties/plugin/const") == Some(&json!(plugin)))?;
    rule.pointer("/then/properties/settings/$ref")?.as_str()
}

#[test]
fn the_settings_of_own_plugins_are_in_the_schema() {
    let filters = "[filter.a]\nplugin = \"own.wasm\"\nsettings = { no-such-key = 1 }\n\
                   [filter.b]\nplugin = 'own.wasm'\n";
    let (printed, schema) = schema(config(filters));
    assert_eq!(printed.code, Some(0), "{}", printed.errors);
    let name = reference(&schema, "own.wasm")
        .and_then(|text| text.strip_prefix('#'))
        .unwrap();
    assert_eq!(name, "/definitions/filter:a");
    let settings = schema.pointer(name).unwrap();
    assert_eq!(settings["properties"]["header"]["type"], "string");
    assert_eq!(settings["additionalProperties"], false);
    assert!(settings.get("$schema").is_none(), "{settings}");
    for builtin in ["builtin:api-key", "builtin:jwt", "builtin:rate-limit"] {
        let name = reference(&schema, builtin)
            .and_then(|text| text.strip_prefix('#'))
            .unwrap();
        assert!(schema.pointer(name).is_some(), "{builtin}");
    }
}

#[test]
fn a_plugin_that_cannot_be_loaded_is_reported_and_the_rest_is_there() {
    let filters = "[filter.a]\nplugin = \"none.wasm\"\n[filter.b]\nplugin = \"own.wasm\"\n[filter.c]\nunknown = 1\n";
    let (printed, schema) = schema(config(filters));
    assert_eq!(printed.code, Some(2), "{}", printed.errors);
    assert!(
        printed.errors.contains("filter `a`: its plugin"),
        "{}",
        printed.errors
    );
    assert!(reference(&schema, "own.wasm").is_some());
}
