// A parameter taken out of a query. Pure: nothing here asks the gateway.
//
// What is not taken out stays byte for byte. Names are compared percent-decoded, `+` being a
// space, as the gateway compares them.

#ifndef QUERY_H
#define QUERY_H

#include "request_filter.h"

// Path and query without every parameter of this name. Allocated, the caller's.
request_filter_string_t query_without(request_filter_string_t path_and_query,
                                      request_filter_string_t name);

#endif
