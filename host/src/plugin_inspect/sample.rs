//! The settings and the request that a component is measured with: those that the author gives, those of the first case
//! in `cases.toml`, or an empty table and a plain request.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use toml::{Table, Value};

use crate::exchange::{Client, Exchange};
use crate::filter_store::secrets::{SecretValue, Secrets};
use crate::http::body::Body;
use crate::model::head::RequestHead;
use crate::model::request_id::RequestId;

/// The file of the author's cases.
const CASES: &str = "cases.toml";

/// Fields of an ordinary browser's request: ten of them, with the `host`.
const FIELDS: [(&str, &str); 10] = [
    ("host", "api.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "theme=dark"),
    ("cache-control", "no-cache"),
    ("content-type", "application/json"),
    ("x-forwarded-for", "10.1.2.3"),
    ("x-request-id", "0123456789abcdef0123456789abcdef"),
];

/// Why the author's cases cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    #[error("`{}` cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error("`{}` has an error: {}", .0.display(), .1.to_string().trim_end())]
    Toml(PathBuf, toml::de::Error),
}

/// Where the settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SampleOrigin {
    /// `--settings`.
    Argument,
    /// A file with cases.
    Cases(PathBuf),
    /// Nobody gave any.
    Empty,
}

/// Settings, and a request to measure with.
#[derive(Debug)]
pub(crate) struct Sample {
    origin: SampleOrigin,
    /// A TOML table in one line.
    pub(super) settings: String,
    /// The secrets of the cases: made up for tests.
    secrets: Vec<(Arc<str>, String)>,
    /// Whether the request is that of a case.
    pub(super) is_of_case: bool,
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Sample {
    /// The sample for the component in this file. `cases.toml` is looked for beside the file and in the folder above.
    ///
    /// # Errors
    ///
    /// `cases.toml` is there and cannot be read.
    pub(super) fn find(file: &Path, settings: Option<&str>) -> Result<Self, SampleError> {
        let mut sample = Self {
            origin: SampleOrigin::Empty,
            settings: "{}".to_owned(),
            secrets: Vec::new(),
            is_of_case: false,
            method: Method::POST,
            target: PathAndQuery::from_static("/orders/42?full=1"),
            headers: plain_fields(),
            body: Bytes::from_static(b"{\"items\":[1,2,3]}"),
        };
        if let Some((path, cases)) = read_cases(file)? {
            sample.take_case(&cases);
            sample.secrets = secrets(&cases);
            if let Some(own @ Value::Table(_)) = cases.get("settings") {
                sample.settings = own.to_string();
                sample.origin = SampleOrigin::Cases(path);
            }
        }
        if let Some(settings) = settings {
            settings.clone_into(&mut sample.settings);
            sample.origin = SampleOrigin::Argument;
        }
        Ok(sample)
    }

    /// The request of the first case that has one and does not bring settings of its own.
    fn take_case(&mut self, cases: &Table) {
        let cases = cases.get("case").and_then(Value::as_array);
        let mut cases = cases.into_iter().flatten().filter_map(Value::as_table);
        let found =
            cases.find(|case| !case.contains_key("settings") && case.contains_key("request"));
        let Some(request) = found.and_then(|case| case.get("request")?.as_table()) else {
            return;
        };
        self.is_of_case = true;
        let text = |key: &str| request.get(key).and_then(Value::as_str);
        if let Some(method) = text("method").and_then(|name| name.parse().ok()) {
            self.method = method;
        }
        if let Some(target) = text("path").and_then(|path| path.parse().ok()) {
            self.target = target;
        }
        let fields = request.get("headers").and_then(Value::as_table);
        for (name, value) in fields.into_iter().flatten() {
            let values = value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice);
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                self.headers.remove(&name);
                for value in values.iter().filter_map(Value::as_str) {
                    if let Ok(value) = HeaderValue::try_from(value) {
                        self.headers.append(name.clone(), value);
                    }
                }
            }
        }
        self.body = match request.get("body") {
            Some(Value::String(text)) => Bytes::from(text.clone()),
            Some(Value::Array(pieces)) => {
                let pieces = pieces.iter().filter_map(Value::as_str);
                Bytes::from(pieces.collect::<String>())
            }
            _ => Bytes::new(),
        };
    }

    /// The names of the secrets.
    pub(super) fn secret_names(&self) -> Vec<Arc<str>> {
        self.secrets
            .iter()
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// The secrets with their values.
    pub(super) fn secrets(&self) -> Secrets {
        let secrets = self.secrets.iter();
        let secret = |(name, value): &(Arc<str>, String)| {
            let value = SecretValue::new(value.clone().into_bytes());
            (Arc::clone(name), value)
        };
        secrets.map(secret).collect()
    }

    /// The name of the settings in messages.
    pub(super) fn origin(&self) -> String {
        match &self.origin {
            SampleOrigin::Argument => "--settings".to_owned(),
            SampleOrigin::Cases(path) => path.display().to_string(),
            SampleOrigin::Empty => "no settings".to_owned(),
        }
    }

    /// Whether the author gave settings.
    pub(super) fn is_given(&self) -> bool {
        self.origin != SampleOrigin::Empty
    }

    /// The request in words.
    pub(super) fn request_line(&self) -> String {
        format!(
            "{} {}, {} fields, {} bytes of body",
            self.method,
            self.target.path(),
            self.headers.len(),
            self.body.len()
        )
    }

    /// A new exchange with the request.
    pub(super) fn exchange(&self, number: u64) -> Box<Exchange> {
        let client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000, Scheme::HTTP);
        let request = RequestHead {
            version: Version::HTTP_11,
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
        };
        let id = RequestId::new(u128::from(number).to_be_bytes());
        Box::new(Exchange::new(id, client, request))
    }

    /// The request's body.
    pub(super) fn body(&self) -> Body {
        Body::full(self.body.clone())
    }
}

/// The tables `[secret.<name>]` with a `value`.
fn secrets(cases: &Table) -> Vec<(Arc<str>, String)> {
    let tables = cases.get("secret").and_then(Value::as_table);
    let secret = |(name, table): (&String, &Value)| {
        let value = table.get("value")?.as_str()?;
        Some((Arc::from(name.as_str()), value.to_owned()))
    };
    tables.into_iter().flatten().filter_map(secret).collect()
}

fn plain_fields() -> HeaderMap {
    let field = |(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    FIELDS.into_iter().map(field).collect()
}

/// The cases beside a component, or in the folder above: a build writes into `build/`.
fn read_cases(file: &Path) -> Result<Option<(PathBuf, Table)>, SampleError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    for path in [folder.join(CASES), folder.join("..").join(CASES)] {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(SampleError::Unreadable(path, error)),
        };
        return match text.parse() {
            Ok(table) => Ok(Some((path, table))),
            Err(error) => Err(SampleError::Toml(path, error)),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_that_of_the_first_case() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("build")).unwrap();
        let cases = "settings = { allow = [\"blue\"] }\n[[case]]\nname = \"bad\"\nsettings = {}\nrequest = { path = \"/no\" }\n[[case]]\nname = \"good\"\nrequest = { method = \"PUT\", path = \"/yes\", headers = { x-team = \"blue\" }, body = [\"a\", \"b\"] }\n[secret.hook]\nvalue = \"made up\"\n";
        std::fs::write(folder.path().join(CASES), cases).unwrap();
        let file = folder.path().join("build/team.wasm");
        let sample = Sample::find(&file, None).unwrap();
        assert_eq!(sample.settings, "{ allow = [\"blue\"] }");
        assert_eq!(
            (sample.method.as_str(), sample.target.as_str()),
            ("PUT", "/yes")
        );
        assert_eq!(sample.headers["x-team"], "blue");
        assert_eq!(sample.body, "ab");
        assert_eq!(sample.secret_names(), [Arc::from("hook")]);
        let given = Sample::find(&file, Some("{ allow = [] }")).unwrap();
        assert_eq!(given.settings, "{ allow = [] }");
        assert_eq!(given.origin(), "--settings");
    }

    #[test]
    fn cases_with_an_error_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CASES), "settings = {").unwrap();
        let error = Sample::find(&folder.path().join("team.wasm"), None).unwrap_err();
        assert!(
            error.to_string().contains("cases.toml` has an error"),
            "{error}"
        );
    }
}
