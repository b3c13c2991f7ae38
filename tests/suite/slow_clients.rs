//! Clients that send or read slowly, or not at all: each wait has an end, and holds up nobody else.
