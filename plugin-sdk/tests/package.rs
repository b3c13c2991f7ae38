//! The published package contains everything that its build needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files below a folder, as paths that begin with the folder's name.
fn files(folder: &Path, name: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = name.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            found.extend(files(&path, &name));
        } else {
            found.push(name);
        }
    }
    found
}

/// The files that Cargo would publish.
fn packaged() -> Vec<PathBuf> {
    let listed = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .args(["--package", env!("CARGO_PKG_NAME")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("Cargo can be started");
    assert!(
        listed.status.success(),
        "Cargo lists no files:\n{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let list = String::from_utf8(listed.stdout).expect("a list of files");
    list.lines().map(PathBuf::from).collect()
}

#[test]
fn the_package_holds_the_contract_and_the_licence() {
    let packaged = packaged();
    let contract = files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"),
        Path::new("wit"),
    );
    assert!(contract.len() > 5, "the contract is not where it was");
    for file in contract.iter().map(PathBuf::as_path).chain([
        Path::new("LICENSE"),
        Path::new("README.md"),
        Path::new("src/lib.rs"),
    ]) {
        assert!(
            packaged.iter().any(|packaged| packaged == file),
            "the package lacks {}: is `plugin-sdk/wit` still a link to `../wit`?",
            file.display()
        );
    }
}
