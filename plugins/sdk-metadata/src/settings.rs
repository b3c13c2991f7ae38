//! The settings as written.

use serde::Deserialize;
use windlass_plugin_sdk::Diagnostic;

/// Where the document and the manifest are served, and what they say of the whole.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The path of the OpenAPI document, as the filter's route has it below a base path. The default is
    /// `/openapi.json`.
    #[serde(default = "path")]
    path: String,
    /// The path of the manifest for SDKs. By default it is not served.
    #[serde(default)]
    manifest: Option<String>,
    /// The name of one of the filter's `documents`: an OpenAPI document in JSON or YAML, which is completed.
    #[serde(default)]
    document: Option<String>,
    /// The title. The default is that of the document, else `API`.
    #[serde(default)]
    title: Option<String>,
    /// The version of the API. The default is that of the document, else `1.0.0`.
    #[serde(default)]
    version: Option<String>,
    /// Where clients find the APIs: URLs without the base paths. The default are those of the document, else `/`.
    #[serde(default)]
    servers: Vec<String>,
    /// The APIs that are described. By default all, and routes of none as well.
    #[serde(default)]
    apis: Vec<String>,
}

fn path() -> String {
    "/openapi.json".to_owned()
}

/// The checked settings.
#[derive(Debug, Default)]
pub struct Checked {
    /// The path of the document.
    pub path: String,
    /// The path of the manifest.
    pub manifest: Option<String>,
    /// The name of the operator's document.
    pub document: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// The version of the API.
    pub version: Option<String>,
    /// The URLs of the APIs.
    pub servers: Vec<String>,
    /// The APIs to describe. Empty for all routes.
    pub apis: Vec<String>,
}

impl Settings {
    /// Check the settings.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn check(self) -> Result<Checked, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        let manifest = self.manifest.as_deref();
        for (at, path) in [("/path", Some(&*self.path)), ("/manifest", manifest)] {
            let Some(path) = path else { continue };
            if !path.starts_with('/') || path.contains(['?', '#', '{', ' ']) {
                let text = format!("`{path}` is no path: write one such as `/openapi.json`");
                complaints.push(Diagnostic::new(at, text));
            }
        }
        if manifest == Some(&*self.path) {
            let text = "is the path of the document too: write another one";
            complaints.push(Diagnostic::new("/manifest", text));
        }
        for (place, server) in self.servers.iter().enumerate() {
            let is_url = server.starts_with("https://") || server.starts_with("http://");
            if !is_url && !server.starts_with('/') {
                let text =
                    format!("`{server}` is no URL: write one such as `https://api.example.com`");
                complaints.push(Diagnostic::new(format!("/servers/{place}"), text));
            }
        }
        if !complaints.is_empty() {
            return Err(complaints);
        }
        Ok(Checked {
            path: self.path,
            manifest: self.manifest,
            document: self.document,
            title: self.title,
            version: self.version,
            servers: self.servers,
            apis: self.apis,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_in_step() {
        let schema = schemars::schema_for!(Settings);
        let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write("settings.schema.json", &schema).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string("settings.schema.json").unwrap(),
            schema
        );
    }

    #[test]
    fn every_complaint_is_told_with_its_place() {
        let settings = r#"{ "path": "openapi", "manifest": "/a?b", "servers": ["api.example"] }"#;
        let settings: Settings = windlass_plugin_sdk::parse_settings(settings).unwrap();
        let complaints = settings.check().unwrap_err();
        let places: Vec<_> = complaints.iter().map(|one| one.at.as_str()).collect();
        assert_eq!(places, ["/path", "/manifest", "/servers/0"]);
    }
}
