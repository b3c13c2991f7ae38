//! Log files: rotation, full disks, and readers that read nothing. No line is torn, and every lost
//! line is counted.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use windlass_tests::{Client, Gateway, Request, command, wait};

use crate::config::start;

const FIXED: &str = "[[route]]\npath = \"$default\"\nrespond = { body = \"ok\" }\n";

/// Create a named pipe.
pub(crate) fn make_pipe(path: &Path) {
    let mode = 0o600.into();
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// The paths in an access log file. Asserts that every line is whole.
fn paths(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "a torn line: {text:?}"
    );
    let path = |line: &str| {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        line["path"].as_str().unwrap().to_owned()
    };
    text.lines().map(path).collect()
}

fn logging(to: &str) -> Gateway {
    start(&[&format!("[log]\naccess = \"{to}\"\n"), FIXED])
}

/// Send a request, and wait for its line in this file.
fn ask(gateway: &Gateway, path: &str, file: &Path) {
    assert_eq!(gateway.get(path).status, 200);
    let line = format!("\"path\":\"{path}\"");
    wait::until("the line in its file", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.split_once(&line)?.1.contains('\n').then_some(())
    });
}

fn reopened(gateway: &Gateway, signal: Signal) -> String {
    let before = gateway.log().count();
    gateway.signal(signal);
    gateway
        .log()
        .wait_from(before, |line| line.contains("reopened"))
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew_by_sighup_and_by_sigusr1() {
    for signal in [Signal::HUP, Signal::USR1] {
        let gateway = logging("access.json");
        let (file, old) = (
            gateway.folder().join("access.json"),
            gateway.folder().join("access.json.1"),
        );
        ask(&gateway, "/before", &file);
        fs::rename(&file, &old).unwrap();
        assert!(reopened(&gateway, signal).contains("INFO"));
        ask(&gateway, "/after", &file);
        assert_eq!(paths(&file), ["/after"]);
        assert_eq!(paths(&old), ["/before"]);
    }
}

#[test]
fn a_log_that_was_removed_or_whose_link_was_swapped_is_opened_by_its_name() {
    let gateway = logging("current");
    let folder = gateway.folder().to_owned();
    let link = folder.join("current");
    ask(&gateway, "/first", &link);
    fs::remove_file(&link).unwrap();
    fs::write(folder.join("two"), "").unwrap();
    symlink(folder.join("two"), &link).unwrap();
    reopened(&gateway, Signal::USR1);
    ask(&gateway, "/second", &folder.join("two"));
    fs::remove_file(&link).unwrap();
    symlink(folder.join("three"), &link).unwrap();
    reopened(&gateway, Signal::USR1);
    ask(&gateway, "/third", &folder.join("three"));
}

#[test]
fn a_log_that_was_copied_and_truncated_has_no_hole() {
    let gateway = logging("access.json");
    let file = gateway.folder().join("access.json");
    ask(&gateway, "/before", &file);
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&file)
        .unwrap();
    ask(&gateway, "/after", &file);
    assert_eq!(paths(&file), ["/after"]);
}

#[test]
fn a_log_that_cannot_be_opened_anew_goes_on_in_the_old_file_and_the_cure_is_told() {
    let gateway = Gateway::with_config(format!("[log]\naccess = \"logs/access.json\"\n{FIXED}"))
        .after("mkdir logs")
        .start();
    let (folder, moved) = (
        gateway.folder().join("logs"),
        gateway.folder().join("moved"),
    );
    ask(&gateway, "/before", &folder.join("access.json"));
    fs::rename(&folder, &moved).unwrap();
    let told = reopened(&gateway, Signal::USR1);
    assert!(
        told.contains("ERROR") && told.contains("create its folder first"),
        "{told}"
    );
    ask(&gateway, "/old", &moved.join("access.json"));
    fs::create_dir(&folder).unwrap();
    reopened(&gateway, Signal::USR1);
    ask(&gateway, "/new", &folder.join("access.json"));
    assert_eq!(paths(&moved.join("access.json")), ["/before", "/old"]);
}

#[test]
fn several_gateways_may_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shared.json");
    let name = file.display().to_string();
    let gateways = [logging(&name), logging(&name)];
    let loads = gateways
        .iter()
        .map(|gateway| gateway.load(Request::get("/")).connections(4).start())
        .collect::<Vec<_>>();
    let answered: usize = loads
        .into_iter()
        .map(|load| {
            load.wait_for_more(500);
            load.stop().status(200)
        })
        .sum();
    for gateway in &gateways {
        assert!(gateway.terminate().success());
    }
    assert_eq!(paths(&file).len(), answered);
}

#[test]
fn lines_that_a_full_disk_takes_not_are_counted_and_the_file_holds_whole_lines() {
    // The shell counts in blocks of 512 bytes: some lines fit, and the last one fits in part.
    let gateway = Gateway::with_config(format!("[log]\naccess = \"access.json\"\n{FIXED}"))
        .after("ulimit -S -f 4")
        .start();
    let file = gateway.folder().join("access.json");
    let report = gateway.load(Request::get("/")).connections(2).run(100);
    assert_eq!(report.status(200), 100);
    let metrics = gateway.metrics_when("every line to be written or counted", |metrics| {
        let written = fs::read_to_string(&file).unwrap_or_default();
        let written = u32::try_from(written.matches('\n').count()).unwrap();
        metrics["windlass_access_log_dropped_total"] + f64::from(written) == 100.0
    });
    assert!(!paths(&file).is_empty());
    assert!(metrics["windlass_access_log_dropped_total"] > 0.0);
    let told = gateway
        .log()
        .wait_for_line(|line| line.contains("could not be written"));
    assert!(
        told.contains("ERROR") && told.contains("ulimit -f"),
        "{told}"
    );
    // There is space again: the log continues, and says how many lines were lost.
    let lost = metrics["windlass_access_log_dropped_total"];
    fs::write(&file, "").unwrap();
    ask(&gateway, "/again", &file);
    let told = gateway
        .log()
        .wait_for_line(|line| line.contains("is written again"));
    assert!(told.contains(&format!("lost={lost} ")), "{told}");
    assert!(gateway.terminate().success());
}

#[test]
fn a_disk_without_room_is_told_once_and_every_line_counted() {
    let gateway = logging("/dev/full");
    for _ in 0..5 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.metrics_when("five lost lines", |metrics| {
        metrics["windlass_access_log_dropped_total"] == 5.0
    });
    assert!(gateway.terminate().success());
    let told = gateway.log().whole();
    let lines = told
        .lines()
        .filter(|line| line.contains("its lines are lost"));
    assert_eq!(lines.count(), 1, "{told}");
}

#[test]
fn a_reader_that_takes_nothing_holds_neither_requests_nor_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let gateway = logging(&pipe.display().to_string());
    let mut reader = fs::OpenOptions::new().read(true).open(&pipe).unwrap();
    let report = gateway.load(Request::get("/")).connections(4).run(2000);
    assert_eq!(report.status(200), 2000);
    let told = gateway.reload(format!("[log]\naccess = \"{}\"\n{FIXED}", pipe.display()));
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert!(gateway.terminate().success());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.ends_with('\n'), "a torn line at the end");
    for line in text.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

/// A gateway whose log is read until it has started, and no further.
struct Unread {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Unread {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{FIXED}");
        fs::write(folder.path().join("w.toml"), config).unwrap();
        let mut child = command(["run", "-c", "w.toml"])
            .current_dir(folder.path())
            .env("WINDLASS_LOG", "trace")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(" listening ") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
        }
        let address = line.split("address=").nth(1).unwrap();
        let address = address.split_whitespace().next().unwrap().parse().unwrap();
        Self {
            child,
            log,
            address,
            _folder: folder,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

#[test]
fn an_own_log_that_nobody_reads_holds_neither_requests_nor_reloads_nor_the_stop() {
    let mut gateway = Unread::start();
    // More lines than a pipe holds: some for each connection and request, and one for each signal.
    for _ in 0..300 {
        gateway.signal(Signal::USR2);
        let mut client = Client::connect(gateway.address);
        assert_eq!(client.get("/").status, 200);
    }
    gateway.signal(Signal::HUP);
    assert_eq!(Client::connect(gateway.address).get("/").status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    gateway.log.read_to_string(&mut rest).unwrap();
    assert!(
        rest.is_empty() || rest.ends_with('\n'),
        "a torn line: {rest}"
    );
}

#[test]
fn a_log_that_cannot_be_opened_stops_the_start_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, cure) in [
        (
            folder.path().join("none/access.json"),
            "create its folder first",
        ),
        (folder.path().to_owned(), "name a file in that folder"),
        (file.join("access.json"), "a part of its path is a file"),
    ] {
        let path = path.display().to_string();
        let config = format!("[log]\naccess = \"{path}\"\n{FIXED}");
        let refused = Gateway::with_config(config).run_refused();
        assert_eq!(refused.code, Some(1), "{}", refused.errors);
        let told = &refused.errors;
        assert!(told.contains(&path) && told.contains(cure), "{told}");
    }
}

#[test]
fn a_path_that_means_standard_output_is_standard_output() {
    for path in ["/dev/stdout", "/proc/self/fd/1", "stdout"] {
        let gateway = logging(path);
        assert_eq!(gateway.get("/here").status, 200);
        // A standard stream cannot be reopened, so it continues.
        reopened(&gateway, Signal::USR1);
        assert!(gateway.terminate().success());
        let text = gateway.output().whole();
        assert_eq!(text.lines().count(), 1, "{path}: {text}");
    }
}
