//! HTTP/1.0 and HTTP/1.1 as clients speak it (RFC 9110, RFC 9112).
