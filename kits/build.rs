//! Tells Cargo which folders are in the library, because `include_dir` cannot on stable Rust.

fn main() {
    for folder in [
        "templates",
        "sdk",
        "../wit",
        "../plugin-sdk/src",
        "../plugin-sdk/Cargo.toml",
        "../Cargo.toml",
        "../Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
