// Reads the settings from JSON text, and reports every error with a pointer.
//
// It reports all errors at once. It deliberately uses no JSON library: it parses only the text
// that the gateway makes from a TOML table, and does not check numbers or literals in values
// that it skips.

#ifndef SETTINGS_H
#define SETTINGS_H

#include "request_filter.h"

// The source of the key.
struct source {
  // True: the query parameter of that name. False: the header.
  bool in_query;
  // The name of the header (lower case) or of the parameter. Owned.
  request_filter_string_t name;
};

// Reads the settings. If it returns false, `complaints` is not empty and `source` is unchanged.
// The caller owns everything that either of them holds afterwards.
bool settings_read(request_filter_string_t json, struct source *source,
                   exports_windlass_filter_lifecycle_list_diagnostic_t *complaints);

#endif
