//! A ledger in memory, for tests.
