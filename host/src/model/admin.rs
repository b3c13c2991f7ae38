//! Access to the admin API.

/// The rights of a token of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May look at everything, and change nothing.
    Read,
    /// May look at everything and change it.
    Write,
}
