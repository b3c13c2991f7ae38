//! The reference page of the command line agrees with `--help`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- commands -->\n";
const END: &str = "<!-- /commands -->\n";

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(command)
        .arg("--help")
        .env_remove("COLUMNS")
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The names below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let list = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, list)| list);
    list.lines()
        .take_while(|row| !row.is_empty())
        .filter(|row| row.starts_with("  ") && !row.starts_with("   "))
        .filter_map(|row| row.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn describe(command: &[&str], page: &mut String) {
    let help = help(command);
    let level = "#".repeat(command.len() + 1);
    let name = command.join(" ");
    writeln!(
        page,
        "{level} `windlass {name}`\n\n```text\n{}\n```\n",
        help.trim_end()
    )
    .unwrap();
    for name in subcommands(&help) {
        describe(&[command, &[name.as_str()]].concat(), page);
    }
}

#[test]
fn the_page_has_the_help_of_every_command() {
    let mut made = String::from("\n");
    for name in subcommands(&help(&[])) {
        describe(&[&name], &mut made);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the commands begin");
    let (committed, after) = rest.split_once(END).expect("where the commands end");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let page = [before, BEGIN, &made, END, after].concat();
        std::fs::write(&path, page).expect("the page is written");
        return;
    }
    assert_eq!(
        committed, made,
        "UPDATE_EXPECT=1 writes docs/reference/cli.md anew"
    );
}
