#include "query.h"

#include <string.h>

#include "text.h"

// The value of a hexadecimal digit, or -1.
static int hex(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  uint8_t lower = digit | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_named(const uint8_t *pair, size_t len, request_filter_string_t name) {
  size_t matched = 0;
  for (size_t i = 0; i < len && pair[i] != '='; i++) {
    uint8_t byte = pair[i] == '+' ? ' ' : pair[i];
    if (byte == '%' && len - i > 2 && hex(pair[i + 1]) >= 0 && hex(pair[i + 2]) >= 0) {
      byte = (uint8_t)(hex(pair[i + 1]) << 4 | hex(pair[i + 2]));
      i += 2;
    }
    if (matched == name.len || name.ptr[matched] != byte) return false;
    matched += 1;
  }
  return matched == name.len;
}

request_filter_string_t query_without(request_filter_string_t path_and_query,
                                      request_filter_string_t name) {
  const uint8_t *end = path_and_query.ptr + path_and_query.len;
  const uint8_t *mark = memchr(path_and_query.ptr, '?', path_and_query.len);
  struct text kept = {0};
  text_add(&kept, path_and_query.ptr, (size_t)((mark ? mark : end) - path_and_query.ptr));
  uint8_t separator = '?';
  while (mark != NULL) {
    const uint8_t *pair = mark + 1;
    mark = memchr(pair, '&', (size_t)(end - pair));
    size_t len = (size_t)((mark ? mark : end) - pair);
    if (is_named(pair, len, name)) continue;
    text_push(&kept, separator);
    text_add(&kept, pair, len);
    separator = '&';
  }
  return text_take(&kept);
}
