//! Requests over HTTP/2 that go to endpoints of HTTP/1.1: nothing in them becomes framing.
