//! In step with a ledger in a file.
