//! HTTP/2 as clients speak it (RFC 9113).
