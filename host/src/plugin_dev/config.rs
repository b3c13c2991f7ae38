//! The configuration of `windlass plugin dev`: the author's `dev.toml`, with what it leaves out added.
//!
//! `dev.toml` is an ordinary configuration. What it leaves out comes from `cases.toml` ([`super::cases`]). The lines of
//! `dev.toml` come first, so that errors in it name its lines. The whole is written to `build/dev.toml`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::cases::DevCases;
use crate::config::{Config, FilterDocument, LogLevel, PluginSource, Problems, Span};

/// The author's wishes on the command line.
#[derive(Debug, Clone)]
pub(crate) struct DevOptions {
    /// The plugin's folder.
    pub(crate) folder: PathBuf,
    /// The plugin's name.
    pub(crate) name: String,
    /// The component that a build writes.
    pub(crate) component: PathBuf,
    /// The port of the listener.
    pub(crate) port: u16,
    /// The endpoint that requests go to: `host:port`, and whether it has TLS.
    pub(crate) endpoint: (String, bool),
}

/// Makes the configuration, at the start and after each change.
#[derive(Debug, Clone)]
pub(crate) struct DevConfig {
    options: DevOptions,
    /// The component that runs: with debug lines, where the build writes such a one.
    component: PathBuf,
    /// A document that this component needs: its name and its file.
    document: Option<(&'static str, PathBuf)>,
}

impl DevConfig {
    #[must_use]
    pub(crate) fn new(options: DevOptions) -> Self {
        Self {
            component: options.component.clone(),
            document: None,
            options,
        }
    }

    /// The same with another component, and the document that it needs.
    #[must_use]
    pub(crate) fn with_component(
        self,
        component: PathBuf,
        document: Option<(&'static str, PathBuf)>,
    ) -> Self {
        Self {
            component,
            document,
            ..self
        }
    }

    /// Reads `dev.toml` and `cases.toml` as they are now.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub(crate) fn read(&self) -> Result<Config, Problems> {
        let folder = std::path::absolute(&self.options.folder)
            .unwrap_or_else(|_| self.options.folder.clone());
        let path = self.options.folder.join("dev.toml");
        let own = read_if_there(&path)?;
        // A text that is no TOML is reported by the configuration's reader, with its line.
        let there: Table = own
            .as_deref()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let mut text = own.clone().unwrap_or_default();
        text.push('\n');
        self.add_missing(&there, &mut text)?;
        // For the author to look at: errors name its lines. Where it cannot be written, they show them all the same.
        let whole = self.options.folder.join("build/dev.toml");
        let _ = whole.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&whole, &text);
        let name = match own {
            Some(_) => path.display().to_string(),
            None => whole.display().to_string(),
        };
        Config::parse(&name, &text, &folder).map(|config| self.adapt(config, &there))
    }

    /// Adds the sections that the author's file does not have.
    fn add_missing(&self, there: &Table, text: &mut String) -> Result<(), Problems> {
        let has = |key: &str, name: &str| {
            let table = there.get(key).and_then(Value::as_table);
            table.is_some_and(|table| table.contains_key(name))
        };
        let DevOptions {
            name,
            port,
            endpoint: (address, has_tls),
            ..
        } = &self.options;
        let mut add = |section: std::fmt::Arguments<'_>| {
            // Writing to a text cannot fail.
            let _ = text.write_fmt(section);
        };
        if !there.contains_key("server") {
            add(format_args!(
                "[server]\nworkers = 1\ndrain_timeout = \"1s\"\n"
            ));
        }
        if !there.contains_key("listener") {
            add(format_args!(
                "[[listener]]\naddress = \"127.0.0.1:{port}\"\n"
            ));
        }
        if !there.contains_key("route") {
            add(format_args!(
                "[[route]]\nname = \"dev\"\npath = \"$default\"\nfilters = [\"{name}\"]\nupstream = \"echo\"\n"
            ));
        }
        if !has("upstream", "echo") && uses_echo(there) {
            let tls = if *has_tls { "tls = {}\n" } else { "" };
            add(format_args!(
                "[upstream.echo]\nendpoints = [{{ address = \"{address}\" }}]\n{tls}"
            ));
        }
        let cases = DevCases::read(&self.options.folder)?;
        if !has("filter", name) {
            let component = toml_text(&self.component);
            add(format_args!("[filter.{name}]\nplugin = {component}\n"));
            add(format_args!("{}", cases.of_filter()));
        }
        cases.add_surroundings(there, text)
    }

    /// Runs the component with debug lines in place of the one to ship, with the document that it needs, and keeps the log quiet: exchanges are printed.
    fn adapt(&self, mut config: Config, there: &Table) -> Config {
        let shipped = std::path::absolute(&self.options.component).ok();
        let running = std::path::absolute(&self.component).ok();
        for filter in &mut config.filters {
            let PluginSource::File(path) = &mut filter.plugin else {
                continue;
            };
            let named = std::path::absolute(&*path).ok();
            if named != shipped && named != running {
                continue;
            }
            path.clone_from(&self.component);
            if let Some((name, path)) = &self.document {
                filter.documents.push(FilterDocument {
                    name: (*name).to_owned(),
                    path: std::path::absolute(path).unwrap_or_else(|_| path.clone()),
                    span: Span::default(),
                });
            }
        }
        if !there.contains_key("log") {
            config.log.level = LogLevel::Error;
        }
        config
    }
}

/// Whether a route of the author's, or the one that is added, goes to the upstream `echo`.
fn uses_echo(there: &Table) -> bool {
    let Some(routes) = there.get("route").and_then(Value::as_array) else {
        return true;
    };
    let upstream = |route: &Value| route.get("upstream").and_then(Value::as_str) == Some("echo");
    routes.iter().any(upstream)
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let name = path.display().to_string();
            Err(Problems::of_file(&name, format!("cannot be read: {error}")))
        }
    }
}

/// A path as a TOML text.
pub(super) fn toml_text(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Value::String(absolute.display().to_string()).to_string()
}

/// An endpoint of the author's: its address, and whether it has TLS.
///
/// # Errors
///
/// It is no URL of a server.
fn endpoint(url: &str) -> Result<(String, bool), String> {
    let wrong = || format!("`{url}` is no server; write it as `http://127.0.0.1:3000`");
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let has_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong()),
    };
    let host = uri.host().ok_or_else(wrong)?;
    let port = uri.port_u16().unwrap_or(if has_tls { 443 } else { 80 });
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!(
            "`{url}` has a path; name only the server, requests keep their own path"
        ));
    }
    Ok((format!("{host}:{port}"), has_tls))
}

impl DevOptions {
    /// Reads `--upstream`.
    ///
    /// # Errors
    ///
    /// It is no URL of a server.
    pub(crate) fn endpoint_of(url: &str) -> Result<(String, bool), String> {
        endpoint(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, DevConfig) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let options = DevOptions {
            folder: folder.path().to_owned(),
            name: "team".to_owned(),
            component: folder.path().join("build/team.wasm"),
            port: 8080,
            endpoint: ("127.0.0.1:9".to_owned(), false),
        };
        let debug = folder.path().join("build/team.debug.wasm");
        (folder, DevConfig::new(options).with_component(debug, None))
    }

    fn read(config: &DevConfig) -> Config {
        config
            .read()
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn without_a_file_the_cases_give_the_settings() {
        let cases = "settings = { allow = [\"blue\"] }\nallow = { interfaces = [\"keys\"] }\n";
        let (folder, config) = folder(&[("cases.toml", cases)]);
        let config = read(&config);
        let filter = &config.filters[0];
        assert_eq!(filter.settings.json["allow"][0], "blue");
        assert_eq!(filter.allow.as_ref().unwrap().interfaces.len(), 1);
        let debug = folder.path().join("build/team.debug.wasm");
        assert_eq!(filter.plugin, PluginSource::File(debug));
        assert_eq!(config.listeners.len(), 1);
    }

    #[test]
    fn the_authors_file_wins_and_runs_with_debug_lines() {
        let own = "[filter.team]\nplugin = \"build/team.wasm\"\nsettings = { header = \"x-b\" }\n[[route]]\npath = \"/only\"\nfilters = [\"team\"]\nrespond = {}\n";
        let (folder, config) = folder(&[("dev.toml", own)]);
        let config = read(&config);
        assert_eq!(config.filters[0].settings.json["header"], "x-b");
        let debug = folder.path().join("build/team.debug.wasm");
        assert_eq!(config.filters[0].plugin, PluginSource::File(debug));
        assert!(config.upstreams.is_empty());
        assert_eq!(config.routes[0].path, "/only");
    }

    #[test]
    fn secrets_and_keys_come_from_the_cases_unless_the_author_has_them() {
        let cases = "allow = { secrets = [\"hook\", \"own\"] }\n[secret.hook]\nvalue = \"made up\"\n[secret.own]\nvalue = \"no\"\n[plan.gold]\nrate = 5\n[[key]]\nkey = \"test-key-1\"\nid = \"acme-1\"\nconsumer = \"acme\"\nplan = \"gold\"\n";
        let own = "[secret.own]\nenv = \"OWN\"\n";
        let (folder, config) = folder(&[("cases.toml", cases), ("dev.toml", own)]);
        let config = read(&config);
        let file = folder.path().join("build/dev-secrets/hook");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "made up");
        assert_eq!(config.secrets.len(), 2);
        assert!(
            format!("{:?}", config.secrets).contains("OWN"),
            "the author's own wins"
        );
        let digest = crate::keys::KeyDigest::of(b"test-key-1");
        assert_eq!(&config.keys[0].digest, digest.as_bytes());
        assert_eq!(config.plans.len(), 1);
    }

    #[test]
    fn the_document_that_the_component_needs_comes_to_those_of_the_author() {
        let own =
            "[filter.team]\nplugin = \"build/team.wasm\"\ndocuments = { list = \"dev.toml\" }\n";
        let (folder, config) = folder(&[("dev.toml", own)]);
        let sources = folder.path().join("build/sources.json");
        let component = folder.path().join("build/dev.wasm");
        let config = read(&config.with_component(component, Some(("sources", sources.clone()))));
        let documents = config.filters[0].documents.iter();
        let named: Vec<_> = documents
            .map(|document| (&*document.name, &document.path))
            .collect();
        assert_eq!(
            named,
            [
                ("list", &folder.path().join("dev.toml")),
                ("sources", &sources)
            ]
        );
    }

    #[test]
    fn an_error_in_the_authors_file_names_its_line() {
        let (_folder, config) = folder(&[("dev.toml", "[[listener]]\naddres = \"127.0.0.1:1\"\n")]);
        let problems = config.read().unwrap_err().to_string();
        assert!(problems.contains("dev.toml"), "{problems}");
        assert!(problems.contains("2 |"), "{problems}");
    }

    #[test]
    fn an_upstream_is_a_server() {
        assert_eq!(
            endpoint("http://localhost:3000"),
            Ok(("localhost:3000".to_owned(), false))
        );
        assert_eq!(
            endpoint("https://example.com/"),
            Ok(("example.com:443".to_owned(), true))
        );
        for wrong in ["localhost:3000", "ftp://a", "http://a/path", ""] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
