// Lines in the gateway's log. The world must import `windlass:host/log@0.1.0`.

#ifndef WINDLASS_LOG_H
#define WINDLASS_LOG_H

#include "windlass.h"

#define WL_DEBUG WINDLASS_HOST_LOG_LEVEL_DEBUG
#define WL_INFO WINDLASS_HOST_LOG_LEVEL_INFO
#define WL_WARN WINDLASS_HOST_LOG_LEVEL_WARN
#define WL_ERROR WINDLASS_HOST_LOG_LEVEL_ERROR

// A line: a plain sentence, and a field with its value. Of bytes that are not UTF-8 the line says only that.
static inline void wl_log(windlass_host_log_level_t level, const char *message, const char *field,
                          wl_text value) {
  wl_text sentence = wl_literal(message);
  if (!wl_is_utf8(value)) value = wl_literal("(not UTF-8)");
  plugin_tuple2_string_string_t pair = {wl_literal(field), value};
  plugin_list_tuple2_string_string_t fields = {&pair, 1};
  windlass_host_log_write(level, &sentence, &fields);
}

#endif
