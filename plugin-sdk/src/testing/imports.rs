//! The functions that the generated imports have on WebAssembly, with the same names and types.

pub mod calls;
pub mod configuring;
pub mod crypto;
pub mod exchange;
pub mod keys;
pub mod limits;
pub mod observing;
pub mod rates;
pub mod response_edits;
pub mod tokens;

pub use configuring::{advice, api_description, documents, preflights};
pub use exchange::raw_params;
pub use observing::{cache, log, metrics, problem_members};

/// Up to `len` bytes from `offset`.
fn range(bytes: &[u8], offset: u64, len: u32) -> Vec<u8> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = bytes.get(from..).unwrap_or_default();
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    rest.get(..len).unwrap_or(rest).to_vec()
}
