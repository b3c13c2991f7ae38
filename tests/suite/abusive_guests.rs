//! Filters that do what no filter should: the request alone suffers, and always gets an answer.
