// Texts, the exchange, verdicts: what `windlass.h` promises, but for the settings.

#include "windlass.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// --- memory --------------------------------------------------------------------------------------

// What is freed at the end of the phase. The list itself stays: it grows to what a phase needs at most.
static struct {
  void **ptr;
  size_t len;
  size_t capacity;
} temporary;

void *wl_memory(size_t size) {
  void *ptr = malloc(size == 0 ? 1 : size);
  if (ptr == NULL) wl_fail();
  return ptr;
}

wl_text wl_until_end(uint8_t *ptr, size_t len) {
  // The bindings give no memory to an empty text.
  if (len == 0) return (wl_text){NULL, 0};
  if (temporary.len == temporary.capacity) {
    size_t capacity = temporary.capacity == 0 ? 16 : 2 * temporary.capacity;
    void **grown = realloc(temporary.ptr, capacity * sizeof *grown);
    if (grown == NULL) wl_fail();
    temporary.ptr = grown;
    temporary.capacity = capacity;
  }
  temporary.ptr[temporary.len++] = ptr;
  return (wl_text){ptr, len};
}

void wl_end_phase(void) {
  while (temporary.len > 0) free(temporary.ptr[--temporary.len]);
}

// --- texts ---------------------------------------------------------------------------------------

wl_text wl_literal(const char *literal) { return (wl_text){(uint8_t *)literal, strlen(literal)}; }

bool wl_same(wl_text one, wl_text other) {
  return one.len == other.len && (one.len == 0 || memcmp(one.ptr, other.ptr, one.len) == 0);
}

bool wl_is(wl_text text, const char *literal) { return wl_same(text, wl_literal(literal)); }

bool wl_contains(wl_texts list, wl_text text) {
  for (size_t i = 0; i < list.len; i++) {
    if (wl_same(list.ptr[i], text)) return true;
  }
  return false;
}

// How many bytes the first code point has (RFC 3629, section 4). 0: it is not UTF-8.
static size_t code_point(const uint8_t *ptr, size_t len) {
  static const struct {
    uint8_t first, last, second, second_last;
    size_t len;
  } rows[] = {
      {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
      {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
      {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
  };
  for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
    if (ptr[0] < rows[row].first || ptr[0] > rows[row].last) continue;
    if (len < rows[row].len) return 0;
    if (rows[row].len > 1 && (ptr[1] < rows[row].second || ptr[1] > rows[row].second_last)) return 0;
    for (size_t i = 2; i < rows[row].len; i++) {
      if (ptr[i] < 0x80 || ptr[i] > 0xBF) return 0;
    }
    return rows[row].len;
  }
  return 0;
}

bool wl_is_utf8(wl_text bytes) {
  for (size_t at = 0, len; at < bytes.len; at += len) {
    len = code_point(bytes.ptr + at, bytes.len - at);
    if (len == 0) return false;
  }
  return true;
}

wl_text wl_join(int count, ...) {
  va_list texts;
  size_t len = 0;
  va_start(texts, count);
  for (int i = 0; i < count; i++) len += va_arg(texts, wl_text).len;
  va_end(texts);
  uint8_t *joined = wl_memory(len);
  size_t at = 0;
  va_start(texts, count);
  for (int i = 0; i < count; i++) {
    wl_text text = va_arg(texts, wl_text);
    if (text.len > 0) memcpy(joined + at, text.ptr, text.len);
    at += text.len;
  }
  va_end(texts);
  if (len == 0) free(joined);
  return wl_until_end(joined, len);
}

wl_text wl_decimal(uint64_t number) {
  uint8_t digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = (uint8_t)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return wl_join(1, (wl_text){digits + at, sizeof digits - at});
}

uint64_t wl_number(wl_text digits) {
  uint64_t number = 0;
  for (size_t i = 0; i < digits.len; i++) {
    uint8_t digit = digits.ptr[i];
    if (digit < '0' || digit > '9' || number > (UINT64_MAX - 9) / 10) return 0;
    number = 10 * number + (digit - '0');
  }
  return number;
}

static int hex(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  uint8_t lower = digit | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

wl_text wl_unhex(wl_text digits) {
  if (digits.len == 0 || digits.len % 2 != 0) return (wl_text){NULL, 0};
  wl_text bytes = wl_until_end(wl_memory(digits.len / 2), digits.len / 2);
  for (size_t i = 0; i < bytes.len; i++) {
    int high = hex(digits.ptr[2 * i]), low = hex(digits.ptr[2 * i + 1]);
    if (high < 0 || low < 0) return (wl_text){NULL, 0};
    bytes.ptr[i] = (uint8_t)(16 * high + low);
  }
  return bytes;
}

// A text of its own, which the generated code frees.
static wl_text owned(const char *literal) {
  wl_text text;
  plugin_string_dup(&text, literal);
  if (text.ptr == NULL && *literal != 0) wl_fail();
  return text;
}

// --- the exchange --------------------------------------------------------------------------------

bool wl_header_bytes(wl_message of, wl_text name, wl_text *value) {
  windlass_host_exchange_field_value_t found;
  if (!windlass_host_exchange_header(of, &name, &found)) return false;
  *value = wl_until_end(found.ptr, found.len);
  return true;
}

bool wl_header(wl_message of, wl_text name, wl_text *value) {
  return wl_header_bytes(of, name, value) && wl_is_utf8(*value);
}

void wl_set_header(wl_message of, wl_text name, wl_text value) {
  windlass_host_exchange_field_value_t bytes = {value.ptr, value.len};
  windlass_host_exchange_edit_error_t refused;
  if (!windlass_host_exchange_set_header(of, &name, &bytes, &refused)) wl_fail();
}

void wl_remove_header(wl_message of, wl_text name) {
  windlass_host_exchange_edit_error_t refused;
  uint32_t removed;
  if (!windlass_host_exchange_remove_header(of, &name, &removed, &refused)) wl_fail();
}

wl_text wl_path(void) {
  wl_text path;
  windlass_host_exchange_path(&path);
  return wl_until_end(path.ptr, path.len);
}

bool wl_query_param(wl_text name, wl_text *value) {
  wl_text found;
  if (!windlass_host_exchange_query_param(&name, &found)) return false;
  *value = wl_until_end(found.ptr, found.len);
  return true;
}

bool wl_attribute(wl_text name, wl_text *value) {
  windlass_host_exchange_attribute_value_t found;
  if (!windlass_host_exchange_attribute(&name, &found)) return false;
  if (found.tag == WINDLASS_HOST_TYPES_ATTRIBUTE_VALUE_TEXT) {
    *value = wl_until_end(found.val.text.ptr, found.val.text.len);
    return true;
  }
  windlass_host_exchange_attribute_value_free(&found);
  return false;
}

bool wl_attribute_number(wl_text name, int64_t *value) {
  windlass_host_exchange_attribute_value_t found;
  if (!windlass_host_exchange_attribute(&name, &found)) return false;
  bool is_number = found.tag == WINDLASS_HOST_TYPES_ATTRIBUTE_VALUE_NUMBER;
  if (is_number) *value = found.val.number;
  windlass_host_exchange_attribute_value_free(&found);
  return is_number;
}

void wl_set_attribute(wl_text name, wl_text value) {
  windlass_host_exchange_attribute_value_t attribute = {
      .tag = WINDLASS_HOST_TYPES_ATTRIBUTE_VALUE_TEXT, .val.text = value};
  windlass_host_exchange_edit_error_t refused;
  if (!windlass_host_exchange_set_attribute(&name, &attribute, &refused)) wl_fail();
}

bool wl_note(wl_text key, wl_text *value) {
  plugin_list_u8_t found;
  if (!windlass_host_exchange_note(&key, &found)) return false;
  *value = wl_until_end(found.ptr, found.len);
  return true;
}

void wl_set_note(wl_text key, wl_text value) {
  plugin_list_u8_t bytes = {value.ptr, value.len};
  windlass_host_exchange_edit_error_t refused;
  if (!windlass_host_exchange_set_note(&key, &bytes, &refused)) wl_fail();
}

wl_text wl_piece(uint64_t len) {
  plugin_list_u8_t bytes;
  windlass_host_exchange_read_piece(0, len > UINT32_MAX ? UINT32_MAX : (uint32_t)len, &bytes);
  return wl_until_end(bytes.ptr, bytes.len);
}

// --- verdicts ------------------------------------------------------------------------------------

wl_body_mode wl_skip_body(void) {
  return (wl_body_mode){.tag = WINDLASS_HOST_TYPES_BODY_MODE_SKIP};
}

wl_body_mode wl_chunks(void) {
  return (wl_body_mode){.tag = WINDLASS_HOST_TYPES_BODY_MODE_CHUNKS};
}

wl_body_mode wl_whole(uint64_t max) {
  return (wl_body_mode){.tag = WINDLASS_HOST_TYPES_BODY_MODE_WHOLE, .val.whole = max};
}

wl_request_verdict wl_next(wl_body_mode body) {
  return (wl_request_verdict){.tag = WINDLASS_HOST_TYPES_REQUEST_VERDICT_NEXT, .val.next = body};
}

wl_response_verdict wl_response_next(wl_body_mode body) {
  return (wl_response_verdict){.tag = WINDLASS_HOST_TYPES_RESPONSE_VERDICT_NEXT, .val.next = body};
}

wl_chunk_verdict wl_chunk_next(void) {
  return (wl_chunk_verdict){.tag = WINDLASS_HOST_TYPES_CHUNK_VERDICT_NEXT};
}

wl_chunk_verdict wl_chunk_more(void) {
  return (wl_chunk_verdict){.tag = WINDLASS_HOST_TYPES_CHUNK_VERDICT_MORE};
}

static windlass_host_types_local_response_t refusal(uint16_t status, const char *reason) {
  return (windlass_host_types_local_response_t){.status = status, .reason = owned(reason)};
}

wl_request_verdict wl_refuse(uint16_t status, const char *reason) {
  return (wl_request_verdict){.tag = WINDLASS_HOST_TYPES_REQUEST_VERDICT_RESPOND,
                              .val.respond = refusal(status, reason)};
}

wl_chunk_verdict wl_chunk_refuse(uint16_t status, const char *reason) {
  return (wl_chunk_verdict){.tag = WINDLASS_HOST_TYPES_CHUNK_VERDICT_RESPOND,
                            .val.respond = refusal(status, reason)};
}

// Bytes of their own, which the generated code frees.
static uint8_t *copied(wl_text bytes) {
  if (bytes.len == 0) return NULL;
  uint8_t *copy = wl_memory(bytes.len);
  memcpy(copy, bytes.ptr, bytes.len);
  return copy;
}

void wl_add_header(wl_response *response, const char *name, wl_text value) {
  size_t len = response->headers.len;
  size_t size = (len + 1) * sizeof *response->headers.ptr;
  response->headers.ptr = realloc(response->headers.ptr, size);
  if (response->headers.ptr == NULL) wl_fail();
  response->headers.ptr[len].f0 = owned(name);
  response->headers.ptr[len].f1 = (windlass_host_types_field_value_t){copied(value), value.len};
  response->headers.len = len + 1;
}

void wl_set_body(wl_response *response, wl_text body) {
  if (response->body.len > 0) free(response->body.ptr);
  response->body.ptr = copied(body);
  response->body.len = body.len;
}

// --- what the filter tells of itself -------------------------------------------------------------

static void add(plugin_list_string_t *list, const char *literal) {
  plugin_string_t *grown = realloc(list->ptr, (list->len + 1) * sizeof *grown);
  if (grown == NULL) wl_fail();
  list->ptr = grown;
  list->ptr[list->len++] = owned(literal);
}

void wl_declare_series(wl_settings *settings, exports_windlass_filter_lifecycle_series_kind_t kind,
                       const char *name, const char *const *labels, size_t count) {
  exports_windlass_filter_lifecycle_list_series_t *list = &settings->setup.series;
  exports_windlass_filter_lifecycle_series_t *grown =
      realloc(list->ptr, (list->len + 1) * sizeof *grown);
  if (grown == NULL) wl_fail();
  exports_windlass_filter_lifecycle_series_t series = {.kind = kind, .name = owned(name)};
  for (size_t i = 0; i < count; i++) add(&series.labels, labels[i]);
  list->ptr = grown;
  list->ptr[list->len++] = series;
}

void wl_declare_provided(wl_settings *settings, const char *attribute) {
  add(&settings->setup.provides, attribute);
}

void wl_declare_sometimes(wl_settings *settings, const char *attribute) {
  add(&settings->setup.sometimes, attribute);
}

void wl_declare_required(wl_settings *settings, const char *attribute) {
  add(&settings->setup.requires_, attribute);
}

wl_info wl_describe(const char *name, const char *version, const char *summary,
                    const char *schema) {
  wl_info info = {.name = owned(name), .version = owned(version), .summary = owned(summary)};
  info.settings_schema.is_some = schema != NULL;
  if (schema != NULL) info.settings_schema.val = owned(schema);
  return info;
}
