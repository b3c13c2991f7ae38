//! Access to the admin API.

use windlass_config_derive::Word;

/// The rights of a token of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub enum Role {
    /// May look at everything, and change nothing.
    Read,
    /// May look at everything and change it.
    Write,
}
