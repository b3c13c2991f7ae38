//! Where a message begins and ends: two readers of the same bytes must agree, or the request is refused.
