//! Plugins from registries and URLs: fetched and checked before a configuration is used, and kept for a restart.
//!
//! The registry of these tests is a table of paths and answers, so that it can be wrong in every way. Those of
//! `registry.rs` use a real one.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use windlass_tests::{Builder, Finished, Gateway, Received, Reply, Then, Upstream, sha256};

const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a path is answered with.
type Answers = Arc<Mutex<HashMap<String, Reply>>>;

/// A registry with one repository, `team/act`.
struct FakeRegistry {
    answers: Answers,
    server: Upstream,
    /// The digest of the plugin's manifest.
    digest: String,
}

impl FakeRegistry {
    /// With the actor under the tag `1.0`.
    fn new() -> Self {
        Self::with_manifest(manifest("application/wasm").to_string())
    }

    fn with_manifest(manifest: String) -> Self {
        let digest = format!("sha256:{}", sha256(manifest.as_bytes()));
        let answers = Answers::default();
        let known = Arc::clone(&answers);
        let server = Upstream::with(move |request, stream| {
            let answer = known.lock().unwrap().get(&request.target).cloned();
            answer.unwrap_or_else(not_found).write(stream)
        });
        let registry = Self {
            answers,
            server,
            digest,
        };
        let manifest = Reply::status(200)
            .header("content-type", MANIFEST)
            .body(manifest);
        registry.answer("manifests/1.0", manifest.clone());
        registry.answer(&format!("manifests/{}", registry.digest), manifest);
        registry.answer(&layer_path(), Reply::status(200).body(ACTOR));
        registry
    }

    fn answer(&self, path: &str, reply: Reply) {
        self.answer_at(&format!("/v2/team/act/{path}"), reply);
    }

    fn answer_at(&self, path: &str, reply: Reply) {
        self.answers.lock().unwrap().insert(path.to_owned(), reply);
    }

    fn name(&self) -> String {
        format!("oci://{}/team/act", self.server.address())
    }

    fn plugin(&self) -> String {
        format!("{}:1.0@{}", self.name(), self.digest)
    }
}

fn layer_path() -> String {
    format!("blobs/sha256:{}", sha256(ACTOR))
}

fn manifest(kind: &str) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": format!("sha256:{}", sha256(b"{}")), "size": 2 },
        "layers": [{ "mediaType": kind, "digest": format!("sha256:{}", sha256(ACTOR)), "size": ACTOR.len() }],
    })
}

fn not_found() -> Reply {
    Reply::status(404)
        .body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
}

/// A route whose filter has this plugin, and adds a field to the response. `more` can have other sections.
fn config(plugin: &str, more: &str) -> String {
    format!(
        "[[route]]\npath = \"$default\"\nfilters = [\"act\"]\nrespond = {{ body = \"x\" }}\n\
         [filter.act]\nplugin = \"{plugin}\"\nsettings = {{ response = [{{ set-header = [\"response\", \"x-acted\", \"1\"] }}] }}\n{more}\n"
    )
}

const CACHE: &str = "[plugins]\ncache = \"kept\"\n";

fn gateway(config: &str) -> Builder {
    // Not the login of whoever runs the tests.
    Gateway::with_config(config).env("DOCKER_CONFIG", "docker")
}

fn check(plugin: &str, more: &str) -> Finished {
    gateway(&config(plugin, more)).check()
}

fn acted(gateway: &Gateway) -> bool {
    let response = gateway.get("/");
    assert_eq!(response.status, 200);
    response.header("x-acted") == Some("1")
}

#[test]
fn a_plugin_of_a_registry_runs_and_a_restart_needs_no_registry() {
    let registry = FakeRegistry::new();
    let gateway = gateway(&config(&registry.plugin(), CACHE)).start();
    assert!(acted(&gateway));
    let asked = registry.server.received();
    assert!(
        asked
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let before = asked.len();
    let lines = gateway.reload(config(&registry.plugin(), CACHE)).concat();
    assert!(lines.contains("a new configuration is in use"), "{lines}");
    assert_eq!(
        registry.server.received().len(),
        before,
        "a reload takes it from the cache"
    );
    let builder = gateway.end();
    let _ = registry.server.kill();
    assert!(acted(&builder.start()));
}

#[test]
fn a_file_in_the_cache_is_not_trusted() {
    let registry = FakeRegistry::new();
    let gateway = gateway(&config(&registry.plugin(), CACHE)).start();
    let kept = gateway
        .folder()
        .join(format!("kept/sha256-{}", sha256(ACTOR)));
    let builder = gateway.end();
    std::fs::write(&kept, b"other code").unwrap();
    let again = builder.start();
    assert!(acted(&again), "it is fetched again");
    assert!(
        again.log().text().contains("is damaged"),
        "{}",
        again.log().text()
    );
    assert_eq!(std::fs::read(&kept).unwrap(), ACTOR);
}

#[test]
fn a_tag_alone_is_an_error_with_the_line_to_paste() {
    let registry = FakeRegistry::new();
    let checked = check(&format!("{}:1.0", registry.name()), CACHE);
    assert_eq!(checked.code, Some(2));
    let shown = format!("plugin = \"{}:1.0\"", registry.name());
    assert!(checked.errors.contains(&shown), "{}", checked.errors);
    assert!(
        checked.errors.contains("a tag can be moved"),
        "{}",
        checked.errors
    );
    let line = format!("write `plugin = \"{}\"`", registry.plugin());
    assert!(checked.errors.contains(&line), "{}", checked.errors);
    let checked = check(&format!("{}:2.0", registry.name()), CACHE);
    assert!(
        checked.errors.contains("answered with status 404"),
        "{}",
        checked.errors
    );
}

/// A registry that answers a path with something else, and what the report says of it.
struct Fault {
    what: &'static str,
    path: String,
    reply: Reply,
    says: &'static str,
}

#[test]
fn a_registry_that_is_wrong_is_an_error_that_says_how() {
    let registry = FakeRegistry::new();
    let by_digest = format!("manifests/{}", registry.digest);
    let ok = |body: &[u8]| Reply::status(200).body(body);
    let faults = [
        Fault {
            what: "another manifest",
            path: by_digest.clone(),
            reply: ok(b"{}"),
            says: "has the SHA-256",
        },
        Fault {
            what: "another layer of the same length",
            path: layer_path(),
            reply: ok(&vec![0; ACTOR.len()]),
            says: "has the SHA-256",
        },
        Fault {
            what: "a layer that is longer than it should be",
            path: layer_path(),
            reply: ok(&vec![0; ACTOR.len() + 1]),
            says: "sends more than",
        },
        Fault {
            what: "a layer that is cut",
            path: layer_path(),
            reply: ok(&ACTOR[1..]),
            says: "has the SHA-256",
        },
        Fault {
            what: "no layer",
            path: layer_path(),
            reply: not_found(),
            says: "answered with status 404: manifest unknown",
        },
        Fault {
            what: "a failure",
            path: by_digest.clone(),
            reply: Reply::status(503),
            says: "answered with status 503",
        },
        Fault {
            what: "a login that nobody has",
            path: by_digest.clone(),
            reply: Reply::status(401).header("www-authenticate", "Basic realm=\"r\""),
            says: "answered with status 401",
        },
        Fault {
            what: "a login of no known kind",
            path: by_digest.clone(),
            reply: Reply::status(401),
            says: "wants a login and does not say which",
        },
        Fault {
            what: "a redirect of the manifest",
            path: by_digest,
            reply: Reply::status(307).header("location", "/elsewhere"),
            says: "answered with status 307",
        },
        Fault {
            what: "a redirect without an end",
            path: layer_path(),
            reply: Reply::status(307).header("location", &format!("/v2/team/act/{}", layer_path())),
            says: "redirects more than 5 times",
        },
        Fault {
            what: "a redirect to nowhere",
            path: layer_path(),
            reply: Reply::status(307).header("location", "ftp://a.example/"),
            says: "`location` that is not a URL of HTTP",
        },
    ];
    for fault in faults {
        let registry = FakeRegistry::new();
        registry.answer(&fault.path, fault.reply);
        let checked = check(&registry.plugin(), CACHE);
        assert_eq!(checked.code, Some(2), "{}: {}", fault.what, checked.errors);
        assert!(
            checked.errors.contains(fault.says),
            "{}: {}",
            fault.what,
            checked.errors
        );
        assert!(
            checked.errors.contains("windlass.toml:6:10"),
            "{}: {}",
            fault.what,
            checked.errors
        );
    }
}

#[test]
fn an_artifact_that_is_no_plugin_is_named() {
    let index = json!({ "schemaVersion": 2, "manifests": [] });
    let image = manifest("application/vnd.oci.image.layer.v1.tar+gzip");
    for (manifest, says) in [
        (index, "is an index of several images"),
        (image, "but `application/vnd.oci.image.layer.v1.tar+gzip`"),
        (json!("x"), "not valid JSON"),
    ] {
        let registry = FakeRegistry::with_manifest(manifest.to_string());
        let checked = check(&registry.plugin(), CACHE);
        assert_eq!(checked.code, Some(2), "{}", checked.errors);
        assert!(checked.errors.contains(says), "{}", checked.errors);
    }
}

#[test]
fn a_plugin_is_bounded_in_size_and_time() {
    let registry = FakeRegistry::new();
    let small = "[plugins]\ncache = \"kept\"\nmax_size = \"1KiB\"\n";
    let checked = check(&registry.plugin(), small);
    assert!(
        checked
            .errors
            .contains("more than the 1024 that a plugin may have"),
        "{}",
        checked.errors
    );
    let asked = registry.server.received();
    assert!(
        !asked.iter().any(|request| request.target.contains("blobs")),
        "it is not fetched"
    );

    let silent = Upstream::with(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx")?;
        Ok(Then::Hold)
    });
    let plugin = format!("oci://{}/a@{}", silent.address(), registry.digest);
    let checked = check(
        &plugin,
        "[plugins]\ncache = \"kept\"\ntimeout = \"200ms\"\n",
    );
    assert_eq!(checked.code, Some(2));
    assert!(
        checked.errors.contains("did not answer in time"),
        "{}",
        checked.errors
    );
}

const LOGIN: &str =
    "username = \"ops\"\npassword = \"registry\"\n[secret.registry]\nenv = \"PASSWORD\"\n";

fn authorization(request: &Received) -> Option<String> {
    request.header("authorization").map(str::to_owned)
}

/// `ops:s3cr3t`.
const BASIC: &str = "Basic b3BzOnMzY3IzdA==";

/// A registry that gives its plugin only for a token, which its own `/token` gives for a password.
fn with_tokens(needs_login: bool) -> (FakeRegistry, Upstream) {
    let registry = FakeRegistry::new();
    let answers = Arc::clone(&registry.answers);
    let guarded = Upstream::with(move |request, stream| {
        let host = request.header("host").unwrap_or_default().to_owned();
        let path = request.target.split('?').next().unwrap_or_default();
        let reply = match (path, authorization(request).as_deref()) {
            ("/token", Some(BASIC)) => Reply::status(200).body(r#"{"token":"t0k3n"}"#),
            ("/token", None) if !needs_login => {
                Reply::status(200).body(r#"{"access_token":"t0k3n"}"#)
            }
            ("/token", _) => Reply::status(401),
            (_, Some("Bearer t0k3n")) => {
                let answer = answers.lock().unwrap().get(&request.target).cloned();
                answer.unwrap_or_else(not_found)
            }
            (_, _) => Reply::status(401).header(
                "www-authenticate",
                &format!("Bearer realm=\"http://{host}/token\",service=\"fake\",scope=\"repository:team/act:pull\""),
            ),
        };
        reply.write(stream)
    });
    (registry, guarded)
}

#[test]
fn a_login_is_exchanged_for_a_token_and_never_shown() {
    let (registry, guarded) = with_tokens(true);
    let host = guarded.address();
    let plugin = format!("oci://{host}/team/act@{}", registry.digest);
    let login = format!("{CACHE}[[plugins.registry]]\nhost = \"{host}\"\n{LOGIN}");
    let gateway = gateway(&config(&plugin, &login))
        .env("PASSWORD", "s3cr3t")
        .start();
    assert!(acted(&gateway));
    let asked = guarded.received();
    let token = asked
        .iter()
        .find(|request| request.target.starts_with("/token"))
        .unwrap();
    assert!(
        token
            .target
            .contains("service=fake&scope=repository%3Ateam%2Fact%3Apull"),
        "{}",
        token.target
    );
    let log = gateway.log().text();
    assert!(!log.contains("s3cr3t") && !log.contains("t0k3n"), "{log}");

    let wrong = check_with(&config(&plugin, &login), "wr0ng");
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.errors.contains("answered with status 401"),
        "{}",
        wrong.errors
    );
    assert!(!wrong.errors.contains("wr0ng"), "{}", wrong.errors);
}

fn check_with(config: &str, password: &str) -> Finished {
    gateway(config).env("PASSWORD", password).check()
}

#[test]
fn a_token_for_everybody_needs_no_login() {
    let (registry, guarded) = with_tokens(false);
    let plugin = format!("oci://{}/team/act@{}", guarded.address(), registry.digest);
    let checked = check(&plugin, CACHE);
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
}

#[test]
fn a_login_of_docker_is_used() {
    let (registry, guarded) = with_tokens(true);
    let host = guarded.address();
    let plugin = format!("oci://{host}/team/act@{}", registry.digest);
    let auths = json!({ "auths": { host.to_string(): { "auth": "b3BzOnMzY3IzdA==" } } });
    let checked = gateway(&config(&plugin, CACHE))
        .in_folder(|folder| {
            std::fs::create_dir(folder.join("docker")).unwrap();
            std::fs::write(folder.join("docker/config.json"), auths.to_string()).unwrap();
        })
        .check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let none = check(&plugin, CACHE);
    assert!(
        none.errors.contains("/token` answered with status 401"),
        "{}",
        none.errors
    );
    let junk = gateway(&config(&plugin, CACHE))
        .in_folder(|folder| {
            std::fs::create_dir(folder.join("docker")).unwrap();
            std::fs::write(folder.join("docker/config.json"), "s3cr3t").unwrap();
        })
        .check();
    assert!(junk.errors.contains("is not valid JSON"), "{}", junk.errors);
    assert!(!junk.errors.contains("s3cr3t"), "{}", junk.errors);
}

#[test]
fn a_download_follows_redirects_and_its_login_does_not() {
    let storage = Upstream::with(|_, stream| Reply::status(200).body(ACTOR).write(stream));
    let to = format!("http://{}/act.wasm?signature=s1gned", storage.address());
    let server =
        Upstream::with(move |_, stream| Reply::status(302).header("location", &to).write(stream));
    let url = format!("http://{}/act.wasm", server.address());
    let pinned = |sha256: &str| {
        let login = format!(
            "{CACHE}[[plugins.registry]]\nhost = \"{}\"\n{LOGIN}",
            server.address()
        );
        config(&format!("{url}\"\nsha256 = \"{sha256}"), &login)
    };
    let checked = check_with(&pinned(&sha256(ACTOR)), "s3cr3t");
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert_eq!(
        authorization(&server.only_request()).as_deref(),
        Some(BASIC)
    );
    assert_eq!(authorization(&storage.only_request()), None);

    let checked = check_with(&pinned(&sha256(b"other")), "s3cr3t");
    assert_eq!(checked.code, Some(2));
    assert!(
        checked.errors.contains("windlass.toml:7:10"),
        "at the digest: {}",
        checked.errors
    );
    assert!(!checked.errors.contains("s1gned"), "{}", checked.errors);
}

#[test]
fn a_file_must_have_its_sha256() {
    for (digest, code) in [(sha256(ACTOR), 0), (sha256(b"other"), 2)] {
        let config = config(&format!("actor.wasm\"\nsha256 = \"{digest}"), "");
        let checked = gateway(&config).file("actor.wasm", ACTOR).check();
        assert_eq!(checked.code, Some(code), "{}", checked.errors);
        let says = format!("has another `sha256`, {}", sha256(ACTOR));
        assert_eq!(
            checked.errors.contains(&says),
            code == 2,
            "{}",
            checked.errors
        );
        assert_eq!(
            checked.errors.contains("windlass.toml:7:10"),
            code == 2,
            "{}",
            checked.errors
        );
    }
}

#[test]
fn a_reload_whose_plugin_cannot_be_fetched_changes_nothing() {
    let registry = FakeRegistry::new();
    let gateway = gateway(&config(&registry.plugin(), CACHE)).start();
    let gone = registry
        .plugin()
        .replace("team/act", "team/gone")
        .replace(&registry.digest, &format!("sha256:{}", sha256(b"gone")));
    let lines = gateway.reload(config(&gone, CACHE)).concat();
    assert!(lines.contains("cannot be fetched"), "{lines}");
    assert!(acted(&gateway));
}

#[test]
fn a_plugin_of_two_filters_is_fetched_once() {
    let registry = FakeRegistry::new();
    let two = format!(
        "{CACHE}[filter.second]\nplugin = \"{}\"\n",
        registry.plugin()
    );
    let config = config(&registry.plugin(), &two).replace("[\"act\"]", "[\"act\", \"second\"]");
    let checked = gateway(&config).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let asked = registry.server.received();
    let blobs = asked
        .iter()
        .filter(|request| request.method == "GET" && request.target.contains("blobs"));
    assert_eq!(blobs.count(), 1);
}

#[test]
fn plugins_that_are_not_kept_are_a_warning() {
    let registry = FakeRegistry::new();
    let checked = check(&registry.plugin(), "[wasm]\ncache = \"off\"\n");
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let says = "fetched plugins are not kept";
    assert!(checked.errors.contains(says), "{}", checked.errors);
}

/// A key as cosign has it.
struct Author {
    key: EcdsaKeyPair,
}

impl Author {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { key }
    }

    fn public(&self) -> String {
        let der = self.key.public_key().as_der().unwrap();
        let text = BASE64_STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// Puts a signature of `of` where that of the registry's plugin is looked for. The format is that of cosign's
    /// specification; no cosign is needed for it.
    fn sign(&self, registry: &FakeRegistry, of: &str) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": "registry.example/team/act" },
                "image": { "docker-manifest-digest": of },
                "type": "cosign container image signature",
            },
            "optional": null,
        })
        .to_string();
        let signature = self
            .key
            .sign(&SystemRandom::new(), payload.as_bytes())
            .unwrap();
        let digest = format!("sha256:{}", sha256(payload.as_bytes()));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2 },
            "layers": [{
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": digest, "size": payload.len(),
                "annotations": { "dev.cosignproject.cosign/signature": BASE64_STANDARD.encode(signature.as_ref()) },
            }],
        });
        let tag = registry.digest.replace(':', "-");
        registry.answer(
            &format!("manifests/{tag}.sig"),
            Reply::status(200).body(manifest.to_string()),
        );
        registry.answer(&format!("blobs/{digest}"), Reply::status(200).body(payload));
    }
}

#[test]
fn a_plugin_that_must_be_signed_is_used_only_if_it_is() {
    let (author, stranger) = (Author::new(), Author::new());
    let other = format!("sha256:{}", sha256(b"other"));
    let signed = |registry: &FakeRegistry| {
        let plugin = format!("{}\"\nsigned_by = \"cosign.pub", registry.plugin());
        gateway(&config(&plugin, CACHE)).file("cosign.pub", author.public())
    };
    let unsigned = FakeRegistry::new();
    let by_stranger = FakeRegistry::new();
    stranger.sign(&by_stranger, &by_stranger.digest);
    let replayed = FakeRegistry::new();
    author.sign(&replayed, &other);
    for (registry, says) in [
        (&unsigned, "is not signed"),
        (&by_stranger, "none of its signatures is by the key"),
        (&replayed, "is for another artifact"),
    ] {
        let checked = signed(registry).check();
        assert_eq!(checked.code, Some(2), "{says}: {}", checked.errors);
        assert!(checked.errors.contains(says), "{says}: {}", checked.errors);
        assert!(
            checked.errors.contains("windlass.toml:7:13"),
            "{says}: {}",
            checked.errors
        );
        let asked = registry.server.received();
        assert!(
            !asked
                .iter()
                .any(|request| request.target.ends_with(&layer_path())),
            "{says}"
        );
    }
    let checked = signed(&unsigned).file("cosign.pub", "junk").check();
    assert!(
        checked.errors.contains("is not a public key"),
        "{}",
        checked.errors
    );

    let registry = FakeRegistry::new();
    author.sign(&registry, &registry.digest);
    let gateway = signed(&registry).start();
    assert!(acted(&gateway));
    let builder = gateway.end();
    let _ = registry.server.kill();
    let again = builder.start();
    assert!(acted(&again), "the signature is kept, too");
    std::fs::write(again.folder().join("cosign.pub"), stranger.public()).unwrap();
    let checked = again.end().check();
    assert_eq!(
        checked.code,
        Some(2),
        "a kept signature is checked by the key of today: {}",
        checked.errors
    );
}
