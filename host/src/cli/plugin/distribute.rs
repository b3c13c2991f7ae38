//! `windlass plugin push` and `pull`: plugins in registries.
//!
//! They talk to the registry as the gateway does, and print the lines for the configuration, with the digest. They keep
//! nothing: the gateway has its own cache.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::cli::output;
use crate::distribution::{
    self, DistributionError, FetchBounds, Login, PluginFetcher, ServerSettings, SignerKey,
};
use crate::model::oci::OciReference;
use crate::model::sha256::Sha256;
use crate::wasm::component_names::component_names;

/// The largest plugin. Bytes: the most that a configuration allows.
const MAX_PLUGIN: u64 = 256 << 20;

/// For one command.
const TIMEOUT: Duration = Duration::from_mins(10);

/// How to reach the registry.
#[derive(Debug, clap::Args)]
struct ServerArguments {
    /// Certificates in PEM. One of them must have signed the server's certificate [default: those of
    /// the system].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Talk to the registry without TLS. A registry on this machine is asked without TLS anyway.
    #[arg(long)]
    plain_http: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Push {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The registry, the name and the tag: `oci://registry.example/team/name:1.0.0`.
    #[arg(value_name = "REFERENCE")]
    reference: String,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Pull {
    /// A reference such as `oci://registry.example/team/name:1.0.0`, with or without a digest, or an
    /// `https://` URL of a file.
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// Where to write the component [default: the last part of the name, in this folder].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A public key in PEM, such as `cosign.pub`, whose owner must have signed the artifact.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
}

impl ServerArguments {
    /// The bounds of a command, and how to reach this host.
    fn bounds(&self, host: &str) -> FetchBounds {
        FetchBounds {
            max_size: MAX_PLUGIN,
            timeout: TIMEOUT,
            servers: vec![ServerSettings {
                host: host.to_owned(),
                ca: self.ca.clone(),
                plain_http: self.plain_http,
                login: login(),
            }],
        }
    }
}

/// The login in the environment. Without it, Docker's configuration file is asked.
fn login() -> Option<Login> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(Login::Password {
        username: variable("WINDLASS_REGISTRY_USERNAME")?,
        password: Zeroizing::new(variable("WINDLASS_REGISTRY_PASSWORD")?),
    })
}

pub(super) fn push(arguments: &Push) -> Result<(), Box<dyn Error>> {
    let reference = reference(&arguments.reference)?;
    if let (Some(_), _) | (None, None) = (reference.digest, &reference.tag) {
        return Err(format!(
            "`{reference}` has a digest, which Windlass computes from what it pushes; write only a tag, such as `:1.0.0`"
        )
        .into());
    }
    let file = arguments.file.display();
    let wasm =
        fs::read(&arguments.file).map_err(|error| format!("`{file}` cannot be read: {error}"))?;
    let names = component_names(&wasm).map_err(|error| format!("`{file}` {error}"))?;
    let title = arguments
        .file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let bounds = arguments.server.bounds(&reference.registry);
    let digest = distribution::push(&bounds, &reference, &wasm, &names, &title);
    let digest = digest.map_err(with_help)?;
    eprintln!(
        "pushed {} bytes; the manifest is {}",
        wasm.len(),
        digest.digest()
    );
    show_lines(
        &reference.pinned(digest).to_string(),
        None,
        &reference.repository,
    )
}

pub(super) fn pull(arguments: &Pull) -> Result<(), Box<dyn Error>> {
    let text = &arguments.reference;
    let signer = arguments.key.as_deref().map(SignerKey::read).transpose();
    let signer = signer.map_err(|error| with_help(error.into()))?;
    let (name, wasm, lines) = if text.starts_with("https://") || text.starts_with("http://") {
        if signer.is_some() {
            return Err(
                "`--key` is for `oci://`: a file at a URL has no signature that could be checked"
                    .into(),
            );
        }
        let host = text.split("://").nth(1).unwrap_or_default();
        let host = host.split('/').next().unwrap_or_default();
        let fetcher = PluginFetcher::new(arguments.server.bounds(host), None);
        let wasm = fetcher.download_any(text).map_err(with_help)?;
        let sha256 = Sha256::of(&wasm);
        let path = text.split(['?', '#']).next().unwrap_or_default();
        (path.to_owned(), wasm, (text.clone(), Some(sha256)))
    } else {
        let reference = reference(text)?;
        let bounds = arguments.server.bounds(&reference.registry);
        let pulled = PluginFetcher::new(bounds, None).pull(&reference, signer.as_ref());
        let pulled = pulled.map_err(with_help)?;
        let pinned = reference.pinned(pulled.manifest).to_string();
        (reference.repository, pulled.wasm, (pinned, None))
    };
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => PathBuf::from(file_name(&name)),
    };
    save(&path, &wasm)?;
    eprintln!(
        "{} written, {} bytes, SHA-256 {}",
        path.display(),
        wasm.len(),
        Sha256::of(&wasm)
    );
    let (plugin, sha256) = lines;
    show_lines(&plugin, sha256, &name)
}

fn reference(text: &str) -> Result<OciReference, Box<dyn Error>> {
    OciReference::parse(text).map_err(|cause| {
        with_help(DistributionError::Reference {
            text: text.to_owned(),
            cause,
        })
    })
}

/// The error with its cure.
fn with_help(error: DistributionError) -> Box<dyn Error> {
    match error.help() {
        Some(help) => format!("{error}; {help}").into(),
        None => error.into(),
    }
}

/// The last part of a name, as a file.
fn file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let stem = last.strip_suffix(".wasm").unwrap_or(last);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let stem: String = stem.chars().filter(|letter| is_plain(*letter)).collect();
    match stem.trim_start_matches('.') {
        "" => "plugin.wasm".to_owned(),
        stem => format!("{stem}.wasm"),
    }
}

/// Writes beside the file and renames, so that a running gateway never sees half of it.
fn save(path: &Path, wasm: &[u8]) -> Result<(), Box<dyn Error>> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = fs::File::create(&beside)
        .and_then(|mut file| file.write_all(wasm))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        drop(fs::remove_file(&beside));
        format!("`{}` cannot be written: {error}", path.display()).into()
    })
}

/// The lines for the configuration, on standard output.
fn show_lines(plugin: &str, sha256: Option<Sha256>, name: &str) -> Result<(), Box<dyn Error>> {
    let file = file_name(name);
    let filter = file
        .strip_suffix(".wasm")
        .unwrap_or_default()
        .replace('.', "-");
    let sha256 = sha256.map_or_else(String::new, |sha256| format!("\nsha256 = \"{sha256}\""));
    let plugin = serde_json::Value::from(plugin);
    let lines = format!("[filter.{filter}]\nplugin = {plugin}{sha256}");
    output::print_line(lines).map_err(|error| error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_last_part() {
        for (name, file) in [
            ("team/check", "check.wasm"),
            ("https://a.example/x/check.wasm", "check.wasm"),
            ("https://a.example/..", "plugin.wasm"),
            ("https://a.example/", "plugin.wasm"),
            ("a/b c", "bc.wasm"),
        ] {
            assert_eq!(file_name(name), file);
        }
    }
}
