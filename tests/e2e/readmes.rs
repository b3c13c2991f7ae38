//! The configurations in the READMEs of the first-party filters: each passes `windlass check`, once the tables that it
//! names are added.

use std::fs;

use windlass_tests::{Gateway, Upstream};

use crate::jwt::Signer;

/// The fenced blocks of TOML.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    let parts = page.split("\n```toml\n").skip(1);
    parts.map(|part| part.split_once("\n```").expect("a fence that closes").0)
}

/// Makes a block into a whole file: adds the rest of the filter's table if the block shows only a part of it, and
/// everything that the block names.
fn whole(plugin: &str, block: &str, upstream: &Upstream) -> String {
    let mut file = String::new();
    if !block.contains("\n[") && !block.starts_with('[') {
        file += &format!("[filter.{plugin}]\nplugin = \"builtin:{plugin}\"\n");
        // `allow` has the same settings as the block before it.
        if block.starts_with("allow") {
            file += match plugin {
                "transform" => {
                    "settings = { request = [{ op = \"remove\", header = \"cookie\" }] }\n"
                }
                "rate-limit" => {
                    "settings = { bounds = [{ name = \"all\", limit = 10, window = \"1s\" }] }\n"
                }
                "authorizer" => "settings = { callout = \"auth\" }\n",
                "cors" => "settings = { origins = [\"*\"] }\n",
                "jwt" => "settings = { verifiers = [\"issuer\"] }\n",
                _ => "",
            };
        }
    }
    file += block;
    // An inline table of the block may span several lines; a table follows.
    file += "\n";
    let endpoint = format!("endpoints = [{{ address = \"{}\" }}]", upstream.address());
    for (table, body) in [
        ("[[listener]]", "address = \"127.0.0.1:0\""),
        (
            "[verifier.issuer]",
            "jwks_file = \"keys.json\"\naudiences = [\"orders\"]",
        ),
        ("[callout.auth]", "url = \"https://auth.example/\""),
        (
            "[callout.login]",
            "url = \"https://login.example/introspect\"",
        ),
        ("[secret.login]", "env = \"LOGIN\""),
        ("[upstream.app]", &*endpoint),
        ("[api.shop]", "base_path = \"/shop\""),
        ("[[route]]", "path = \"$default\"\nupstream = \"app\""),
    ] {
        if !file.contains(table) {
            file += &format!("\n{table}\n{body}\n");
        }
    }
    // No test fetches the keys of the issuer.
    file.replace(
        "discovery_url = \"https://issuer.example/.well-known/openid-configuration\"",
        "jwks_file = \"keys.json\"",
    )
}

#[test]
fn every_config_of_a_filters_readme_is_good() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for folder in fs::read_dir(plugins).unwrap() {
        let folder = folder.unwrap();
        let plugin = folder.file_name().into_string().unwrap();
        let Ok(readme) = fs::read_to_string(folder.path().join("README.md")) else {
            continue;
        };
        for block in blocks(&readme) {
            count += 1;
            let file = whole(&plugin, block, &upstream);
            let checked = Gateway::with_config(&file)
                .file("keys.json", signer.set())
                .file(
                    "openapi.json",
                    r#"{"openapi":"3.1.0","info":{"title":"a","version":"1"},"paths":{}}"#,
                )
                .env("LOGIN", "secret")
                .check();
            if checked.code != Some(0) {
                wrong.push(format!("{plugin}:\n{file}\n{}", checked.errors));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
    assert!(count >= 12, "{count}");
}
