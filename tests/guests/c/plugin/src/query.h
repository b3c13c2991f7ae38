#ifndef QUERY_H
#define QUERY_H

#include "windlass.h"

// Path and query without every parameter of this name. All other parts stay byte for byte. Names are compared after
// percent-decoding, and `+` is a space, as in the gateway. The text lives until the end of the phase.
wl_text query_without(wl_text path_and_query, wl_text name);

#endif
