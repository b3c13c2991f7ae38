// Removes a parameter from a query. Pure: no calls of the gateway.
//
// All other parts stay byte for byte. Names are compared after percent-decoding, and `+` is a
// space, as in the gateway.

#ifndef QUERY_H
#define QUERY_H

#include "request_filter.h"

// Path and query without every parameter of this name. The result is allocated; the caller owns it.
request_filter_string_t query_without(request_filter_string_t path_and_query,
                                      request_filter_string_t name);

#endif
