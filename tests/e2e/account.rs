//! A gateway that root starts becomes another user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use windlass_tests::{Builder, Client, Gateway, Upstream};

use crate::config::all_to;

/// The number of `nobody` on every Linux.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets every user read the configuration.
fn open_folder(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

fn gateway(server: &str, more: &str, upstream: &Upstream) -> Builder {
    let server = format!("[server]\n{server}\n{more}\n");
    Gateway::with_config(server + &all_to(upstream.address())).in_folder(open_folder)
}

/// The rows of `/proc/<pid>/status`, each as its words.
fn status(gateway: &Gateway, row: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{row}:")));
    found
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[test]
fn root_gives_up_its_user_groups_and_capabilities_after_it_has_bound_its_sockets() {
    if !is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let upstream = Upstream::text("ok");
    let keys = "user = \"nobody\"\ngroup = \"65534\"";
    let gateway = gateway(keys, "", &upstream).start();
    assert_eq!(gateway.get("/").text(), "ok");
    let number = NOBODY.to_string();
    for row in ["Uid", "Gid"] {
        assert_eq!(status(&gateway, row), vec![number.clone(); 4], "{row}");
    }
    let groups = status(&gateway, "Groups");
    assert!(groups.iter().all(|group| *group == number), "{groups:?}");
    for row in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(&gateway, row), ["0000000000000000"], "{row}");
    }
    assert_eq!(status(&gateway, "NoNewPrivs"), ["1"]);
    gateway
        .log()
        .wait_for_line(|line| line.contains("running as the user of `[server]`"));
    let told = gateway.reload(format!("[server]\n{keys}\n{}", all_to(upstream.address())));
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert!(gateway.terminate().success());
}

#[test]
fn a_successor_that_root_starts_takes_the_sockets_of_one_that_runs_as_a_user() {
    if !is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let upstream = Upstream::text("ok");
    let keys = "user = \"65534\"\ngroup = \"65534\"\ndrain_delay = \"1h\"";
    let first = gateway(keys, "", &upstream).start();
    let address = first.address();
    first.signal(rustix::process::Signal::TERM);
    first
        .log()
        .wait_for_line(|line| line.contains("draining soon"));
    let second = first.successor().start();
    assert!(first.wait_for_end().success());
    assert_eq!(Client::connect(address).get("/").text(), "ok");
    assert_eq!(status(&second, "Uid"), vec![NOBODY.to_string(); 4]);
}

#[test]
fn files_that_the_user_cannot_read_are_errors_of_the_start() {
    if !is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let upstream = Upstream::text("ok");
    let secret = "[secret.own]\nfile = \"own.secret\"\n[filter.f]\nplugin = \"builtin:transform\"\n\
                  settings = {}\nallow = { secrets = [\"own\"] }\n";
    let close = |folder: &Path| {
        let file = folder.join("own.secret");
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    };
    let refused = gateway("user = \"nobody\"", secret, &upstream)
        .in_folder(close)
        .run_refused();
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    assert!(refused.errors.contains("own.secret"), "{}", refused.errors);
}

#[test]
fn an_account_that_does_not_exist_is_an_error_with_a_cure() {
    let upstream = Upstream::text("ok");
    for (keys, text) in [
        ("user = \"no-such-user\"", "there is no user `no-such-user`"),
        (
            "group = \"no-such-group\"",
            "there is no group `no-such-group`",
        ),
        ("user = \"4000000000\"", "write its `group`, too"),
    ] {
        let refused = gateway(keys, "", &upstream).run_refused();
        assert_eq!(refused.code, Some(1), "{}", refused.errors);
        assert!(refused.errors.contains(text), "{}", refused.errors);
    }
}
