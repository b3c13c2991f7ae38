//! The filter that `windlass plugin new --lang rust` writes, with the names in braces as they are.

#[path = "../../../../kits/templates/rust/src/lib.rs"]
mod starter;
