// The settings: JSON text into where the key is looked for, and every complaint with a pointer.
//
// Promises to name every bad setting at once. Deliberately no JSON library: it takes the text
// apart that the gateway makes from a TOML table, and does not check numbers or literals that
// it only skips.

#ifndef SETTINGS_H
#define SETTINGS_H

#include "request_filter.h"

// Where the key is.
struct source {
  // In the query parameter of that name, else in the header.
  bool in_query;
  // The name of the header (lower case) or of the parameter. Owned.
  request_filter_string_t name;
};

// Reads the settings. False: `complaints` is not empty, and `source` is untouched. What either
// holds afterwards is allocated and belongs to the caller.
bool settings_read(request_filter_string_t json, struct source *source,
                   exports_windlass_filter_lifecycle_list_diagnostic_t *complaints);

#endif
