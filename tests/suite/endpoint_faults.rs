//! Endpoints that break off, stall or send nonsense: what the client is told, and what comes after.
