//! How a store of keys, plans and usage is reached, and how it fails: what counters that are shared by several
//! gateways and the storage of keys both need.
//!
//! [`redis_server`] is a Redis or Valkey with a few connections to it. Deliberately not here: what is stored.

pub(crate) mod redis_server;
#[cfg(test)]
pub(crate) mod test_server;

/// The store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It is out of reach at the moment.
    #[error("{name} is out of reach: {cause}")]
    Unreachable { name: String, cause: String },
    /// It is there, and does not work.
    #[error("{name} failed: {cause}")]
    Failed { name: String, cause: String },
    /// Its data was not written by this program, or is damaged.
    #[error("{name}: {what}")]
    Corrupt {
        name: String,
        /// The error, and the cure.
        what: String,
    },
}
