//! What is particular to the file.
