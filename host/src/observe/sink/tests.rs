//! Tests of a sink as its users see it: with files, named pipes and devices.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;

use super::*;

const SETTINGS: SinkSettings = SinkSettings {
    thread: "test-sink",
    name: "the test's log",
    max_bytes: 256 * 1024,
    reports_failure: true,
};

fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "it did not come");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Creates a named pipe in a folder, and returns its path.
fn pipe(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    path
}

fn open(path: &std::path::Path) -> Outlet {
    Outlet::open(&Target::of(path)).unwrap()
}

#[test]
fn pushed_lines_are_written_before_the_end_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let sink = Sink::start(SETTINGS, open(&path), None).unwrap();
    let input = sink.input();
    for number in 0..1000 {
        input.push(format!("line {number}\n").into_bytes());
    }
    sink.finish();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let wanted: Vec<_> = (0..1000).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, wanted);
    assert_eq!(sink.lost_lines().load(Ordering::Relaxed), 0);
}

#[test]
fn a_reader_that_takes_nothing_costs_lines_and_neither_a_push_nor_the_end_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = pipe(&folder);
    let sink = Sink::start(SETTINGS, open(&path), None).unwrap();
    let reader = File::open(&path).unwrap();
    let input = sink.input();
    let line = format!("{}\n", "x".repeat(1023));
    for _ in 0..2000 {
        input.push(line.clone().into_bytes());
    }
    sink.finish();
    drop((sink, input));
    let text = {
        let mut text = String::new();
        let fd: OwnedFd = reader.into();
        let mut reader = File::from(fd);
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let _ = reader.read_to_string(&mut text);
        text
    };
    assert!(text.ends_with('\n'), "the last line is whole");
    assert!(text.lines().all(|line| line.len() == 1023));
}

#[test]
fn lost_lines_are_counted_and_each_is_lost_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = pipe(&folder);
    let sink = Sink::start(SETTINGS, open(&path), None).unwrap();
    let mut reader = File::open(&path).unwrap();
    let input = sink.input();
    let line = format!("{}\n", "y".repeat(9000));
    for _ in 0..100 {
        input.push(line.clone().into_bytes());
    }
    // Lines longer than a pipe writes atomically, and a reader that comes back.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = reader.read_to_string(&mut text);
        text
    });
    sink.finish();
    let lost = sink.lost_lines().load(Ordering::Relaxed);
    drop(input);
    drop(sink);
    let text = reading.join().unwrap();
    assert!(text.lines().all(|line| line.len() == 9000));
    assert_eq!(text.lines().count() as u64 + lost, 100);
    assert!(lost > 0, "256 KiB wait at the most");
}

#[test]
fn another_destination_is_used_although_the_old_one_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = pipe(&folder);
    let sink = Sink::start(SETTINGS, open(&path), None).unwrap();
    let reader = File::open(&path).unwrap();
    let input = sink.input();
    let line = format!("{}\n", "z".repeat(1023));
    for _ in 0..200 {
        input.push(line.clone().into_bytes());
    }
    let file = folder.path().join("log");
    sink.replace(open(&file));
    until(|| fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 1024));
    sink.finish();
    drop(reader);
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .lines()
            .all(|line| line.len() == 1023)
    );
}

#[test]
fn a_line_that_a_killed_process_left_unfinished_is_not_glued_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "whole\nhal").unwrap();
    let sink = Sink::start(SETTINGS, open(&path), None).unwrap();
    sink.input().push(b"next\n".to_vec());
    sink.finish();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
}

#[test]
fn a_path_of_standard_output_is_standard_output() {
    for (path, target) in [
        ("/dev/stdout", Target::Stdout),
        ("/proc/self/fd/1", Target::Stdout),
        ("/dev/stderr", Target::Stderr),
        ("/dev/null", Target::File("/dev/null".into())),
    ] {
        assert_eq!(Target::of(std::path::Path::new(path)), target, "{path}");
    }
}

#[test]
fn a_failure_names_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    for (path, word) in [
        (folder.path().join("none/log"), "create its folder"),
        (folder.path().to_owned(), "name a file in that folder"),
    ] {
        let error = Outlet::open(&Target::File(path)).unwrap_err();
        assert!(cure(&error).contains(word), "{error}");
    }
    let full = Outlet::open(&Target::File("/dev/full".into()));
    let (lost, failure) = full
        .unwrap()
        .write(b"one\ntwo\n", &mut || true)
        .unwrap_err();
    assert_eq!(lost, 2);
    assert!(failure.cure().contains("free space"), "{failure}");
}
