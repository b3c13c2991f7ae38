//! The schemas of plugins' settings, for `windlass schema`.

use std::sync::Arc;

use serde_json::Value as Json;

use super::filters::{FilterLoader, bounds};
use super::{ProcessResources, keys, plugins};
use crate::config::{Config, FilterConfig, PluginSource, Problems, SettingsSchema};

/// The largest schema. Bytes.
const MAX_SCHEMA: usize = 1 << 20;

/// Those of the plugins that come with the gateway.
#[must_use]
pub(crate) fn builtin_schemas() -> Vec<SettingsSchema> {
    let plugins = windlass_builtin_plugins::BUILTIN_PLUGINS.iter();
    let schemas = plugins.filter_map(|plugin| {
        let name = format!("builtin:{}", plugin.name);
        Some(SettingsSchema {
            plugin: name.clone(),
            name,
            schema: serde_json::from_str(plugin.settings_schema).ok()?,
        })
    });
    schemas.collect()
}

impl ProcessResources {
    /// Those of a configuration's other plugins. A plugin that cannot be loaded is reported; one without a schema is left
    /// out.
    pub(crate) fn settings_schemas(
        &self,
        config: &Config,
        problems: &mut Problems,
    ) -> Vec<SettingsSchema> {
        let secrets = keys::secrets(config, problems);
        let fetched = plugins::fetch(config, secrets.as_ref(), problems);
        let mut schemas: Vec<SettingsSchema> = Vec::new();
        for filter in &config.filters {
            let Some(plugin) = config.plugin_text(filter) else {
                continue;
            };
            let is_known = schemas.iter().any(|known| known.plugin == plugin);
            if is_known || matches!(filter.plugin, PluginSource::Builtin(_)) {
                continue;
            }
            let mut loader = FilterLoader {
                config,
                registry: &self.registry,
                secrets: secrets.as_ref(),
                problems,
            };
            let Some(component) = loader.component(filter, &fetched) else {
                continue;
            };
            match self.registry.settings_schema(&component, bounds(filter)) {
                Ok(Some(text)) => schemas.extend(read(filter, plugin, &text, problems)),
                Ok(None) => {}
                Err(error) => drop(problems.error_of(filter, error)),
            }
        }
        schemas
    }
}

fn read(
    filter: &FilterConfig,
    plugin: String,
    text: &str,
    problems: &mut Problems,
) -> Option<SettingsSchema> {
    let schema: Option<Json> = match text.len() <= MAX_SCHEMA {
        true => serde_json::from_str(text).ok(),
        false => None,
    };
    let is_schema = |schema: &Json| schema.is_object() || schema.is_boolean();
    let Some(schema) = schema.filter(is_schema) else {
        problems
            .warning_of(
                filter,
                "its plugin gives a schema of its settings that is not JSON of at most 1 MiB",
            )
            .help("tell the author of the plugin; the schema is left out");
        return None;
    };
    let name: Arc<str> = filter.name.clone();
    Some(SettingsSchema {
        plugin,
        name: format!("filter:{name}"),
        schema,
    })
}
