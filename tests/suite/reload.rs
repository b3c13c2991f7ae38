//! Reloads under traffic: no request is lost, and each ends on the configuration that it began with.
