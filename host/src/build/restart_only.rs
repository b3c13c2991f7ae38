//! The settings that a reload cannot change, and which of them differ.
//!
//! Moving lines in the file is no change: positions are left out, and secrets are compared by name. The
//! admin listener's certificates may change, but not whether there are any.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::config::{self, Config, Span, StorePlace};

/// The settings that a reload cannot change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RestartOnly {
    workers: Option<NonZeroUsize>,
    /// The user and the group.
    account: [Option<String>; 2],
    max_rate_counters: usize,
    max_used_proofs: usize,
    admin: Option<config::Admin>,
    store: Option<config::Store>,
    /// The names of the secrets that the admin's tokens and the store use, in that order.
    secrets: Vec<Arc<str>>,
    wasm: config::Wasm,
    access_log: config::AccessLog,
    rotation: Option<config::LogRotation>,
    log_format: config::LogFormat,
}

impl RestartOnly {
    /// Of this configuration.
    pub(crate) fn from_config(config: &Config) -> Self {
        let mut secrets = Vec::new();
        Self {
            workers: config.server.workers,
            account: [config.server.user.clone(), config.server.group.clone()],
            max_rate_counters: config.server.max_rate_counters,
            max_used_proofs: config.server.max_used_proofs,
            admin: config
                .admin
                .as_ref()
                .map(|admin| plain_admin(admin, &mut secrets)),
            store: config
                .store
                .as_ref()
                .map(|store| plain_store(store, &mut secrets)),
            secrets: names(config, &secrets),
            wasm: config.wasm.clone(),
            access_log: config.log.access.clone(),
            rotation: config.log.rotate,
            log_format: config.log.format,
        }
    }

    /// The parts that differ, by their names in the file.
    pub(crate) fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
        [
            (self.workers == other.workers, "`[server] workers`"),
            (self.account == other.account, "`[server] user` and `group`"),
            (
                self.max_rate_counters == other.max_rate_counters,
                "`[server] max_rate_counters`",
            ),
            (
                self.max_used_proofs == other.max_used_proofs,
                "`[server] max_used_proofs`",
            ),
            (self.admin == other.admin, "`[admin]`"),
            (self.store == other.store, "`[store]`"),
            (
                self.secrets == other.secrets,
                "the secrets of `[admin]` and `[store]`",
            ),
            (self.wasm == other.wasm, "`[wasm]`"),
            (self.access_log == other.access_log, "`[log] access`"),
            (self.rotation == other.rotation, "`[log] rotate`"),
            (self.log_format == other.log_format, "`[log] format`"),
        ]
        .into_iter()
        .filter_map(|(same, name)| (!same).then_some(name))
        .collect()
    }
}

/// Without places; those of secrets go into the list.
fn plain_admin(admin: &config::Admin, secrets: &mut Vec<usize>) -> config::Admin {
    let mut admin = admin.clone();
    for token in &mut admin.tokens {
        token.span = Span::default();
        secrets.push(std::mem::take(&mut token.secret));
    }
    if let Some(tls) = &mut admin.tls {
        *tls = config::ListenerTls::without_files();
    }
    admin
}

/// Without places; those of secrets go into the list.
fn plain_store(store: &config::Store, secrets: &mut Vec<usize>) -> config::Store {
    let mut store = store.clone();
    store.span = Span::default();
    if let StorePlace::Redis(redis) = &mut store.place
        && let Some(password) = &mut redis.password
    {
        secrets.push(std::mem::take(password));
    }
    store
}

fn names(config: &Config, indexes: &[usize]) -> Vec<Arc<str>> {
    let secrets = indexes
        .iter()
        .filter_map(|index| config.secrets.get(*index));
    secrets.map(|secret| Arc::clone(&secret.name)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FILE: &str = "\
[[listener]]
address = \"127.0.0.1:8080\"
[[route]]
path = \"/\"
respond = {}
[secret.ops]
env = \"OPS\"
[secret.redis]
env = \"REDIS\"
[admin]
address = \"127.0.0.1:9080\"
tokens = [{ name = \"ops\", role = \"write\", secret = \"ops\" }]
[store]
url = \"redis://127.0.0.1\"
password = \"redis\"
";

    fn fixed(text: &str) -> RestartOnly {
        RestartOnly::from_config(&Config::parse("t", text, Path::new("")).unwrap())
    }

    #[test]
    fn what_was_only_moved_is_no_change() {
        let moved = FILE
            .replace("[secret.ops]\nenv = \"OPS\"\n", "")
            .replace("[admin]", "\n\n[admin]");
        let moved = format!("{moved}[secret.ops]\nenv = \"OPS\"\n");
        assert_eq!(fixed(FILE).changed_keys(&fixed(&moved)), [""; 0]);
    }

    #[test]
    fn the_level_of_the_log_can_change() {
        let debug = FILE.replace("[admin]", "[log]\nlevel = \"debug\"\n[admin]");
        assert_eq!(fixed(FILE).changed_keys(&fixed(&debug)), [""; 0]);
    }

    #[test]
    fn a_certificate_can_change_and_not_appear() {
        let with = |certificate: &str| {
            let tls = format!("tls = {{ certificate = \"{certificate}\", key = \"k\" }}\n[store]");
            fixed(&FILE.replace("[store]", &tls))
        };
        assert_eq!(with("a").changed_keys(&with("b")), [""; 0]);
        assert_eq!(with("a").changed_keys(&fixed(FILE)), ["`[admin]`"]);
    }

    #[test]
    fn what_differs_is_named() {
        for (old, new, part) in [
            ("\"write\"", "\"read\"", "`[admin]`"),
            (
                "127.0.0.1\"\npassword",
                "127.0.0.2\"\npassword",
                "`[store]`",
            ),
            (
                "password = \"redis\"",
                "password = \"ops\"",
                "the secrets of `[admin]` and `[store]`",
            ),
            (
                "[[listener]]",
                "[server]\nmax_used_proofs = 9\n[[listener]]",
                "`[server] max_used_proofs`",
            ),
            ("[admin]", "[wasm]\nmax_instances = 7\n[admin]", "`[wasm]`"),
            (
                "[admin]",
                "[log]\naccess = \"stdout\"\n[admin]",
                "`[log] access`",
            ),
        ] {
            assert_ne!(FILE.replace(old, new), FILE, "{part}");
            let other = fixed(&FILE.replace(old, new));
            assert_eq!(fixed(FILE).changed_keys(&other), [part]);
        }
    }
}
