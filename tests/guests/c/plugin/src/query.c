#include "query.h"

#include <string.h>

// The value of a hexadecimal digit, or -1.
static int hex(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  uint8_t lower = digit | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_named(wl_text pair, wl_text name) {
  size_t matched = 0;
  for (size_t i = 0; i < pair.len && pair.ptr[i] != '='; i++) {
    uint8_t byte = pair.ptr[i] == '+' ? ' ' : pair.ptr[i];
    if (byte == '%' && pair.len - i > 2 && hex(pair.ptr[i + 1]) >= 0 && hex(pair.ptr[i + 2]) >= 0) {
      byte = (uint8_t)(hex(pair.ptr[i + 1]) << 4 | hex(pair.ptr[i + 2]));
      i += 2;
    }
    if (matched == name.len || name.ptr[matched] != byte) return false;
    matched += 1;
  }
  return matched == name.len;
}

wl_text query_without(wl_text path_and_query, wl_text name) {
  uint8_t *end = path_and_query.ptr + path_and_query.len;
  uint8_t *mark = memchr(path_and_query.ptr, '?', path_and_query.len);
  if (mark == NULL) return path_and_query;
  wl_text kept = {path_and_query.ptr, (size_t)(mark - path_and_query.ptr)};
  wl_text separator = wl_literal("?");
  while (mark != NULL) {
    wl_text pair = {mark + 1, 0};
    mark = memchr(pair.ptr, '&', (size_t)(end - pair.ptr));
    pair.len = (size_t)((mark != NULL ? mark : end) - pair.ptr);
    if (is_named(pair, name)) continue;
    kept = wl_join(3, kept, separator, pair);
    separator = wl_literal("&");
  }
  return kept;
}
