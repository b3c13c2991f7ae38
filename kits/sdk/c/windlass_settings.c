// Reads the settings: JSON (RFC 8259), which the gateway makes of the operator's table.

#include <stdlib.h>
#include <string.h>

#include "windlass.h"

// The deepest nesting of arrays and tables in unknown settings.
enum { DEPTH = 64 };

wl_settings wl_settings_of(wl_text json) {
  return (wl_settings){.at = json.ptr, .end = json.ptr + json.len};
}

// --- errors --------------------------------------------------------------------------------------

// A copy that the generated code frees.
static wl_text kept(wl_text text) {
  if (text.len == 0) return (wl_text){NULL, 0};
  uint8_t *copy = wl_memory(text.len);
  memcpy(copy, text.ptr, text.len);
  return (wl_text){copy, text.len};
}

static void wrong_at(wl_settings *settings, wl_text at, wl_text message) {
  wl_diagnostics *errors = &settings->errors;
  exports_windlass_filter_lifecycle_diagnostic_t *grown =
      realloc(errors->ptr, (errors->len + 1) * sizeof *grown);
  if (grown == NULL) wl_fail();
  grown[errors->len].at = kept(at);
  grown[errors->len].message = kept(message);
  errors->ptr = grown;
  errors->len += 1;
}

void wl_wrong(wl_settings *settings, const char *at, const char *message) {
  wrong_at(settings, wl_literal(at), wl_literal(message));
}

// A JSON pointer to the current key (RFC 6901, section 3).
static wl_text pointer_to(wl_text key) {
  wl_text pointer = wl_literal("/");
  for (size_t i = 0; i < key.len; i++) {
    wl_text letter = {key.ptr + i, 1};
    if (key.ptr[i] == '~') letter = wl_literal("~0");
    if (key.ptr[i] == '/') letter = wl_literal("~1");
    pointer = wl_join(2, pointer, letter);
  }
  return pointer;
}

// The text is no table: nothing more can be read.
static void give_up(wl_settings *settings) {
  wl_wrong(settings, "", "the settings are not a table");
  settings->at = settings->end;
}

// --- JSON ----------------------------------------------------------------------------------------

// The next byte that is not white space, or 0 at the end.
static uint8_t peek(wl_settings *json) {
  while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' ||
                                  *json->at == '\r')) {
    json->at += 1;
  }
  return json->at < json->end ? *json->at : 0;
}

static bool take(wl_settings *json, uint8_t byte) {
  if (peek(json) != byte || json->at == json->end) return false;
  json->at += 1;
  return true;
}

static bool read_hex(wl_settings *json, uint32_t *unit) {
  if (json->end - json->at < 4) return false;
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t digit = *json->at++;
    uint32_t value;
    if (digit >= '0' && digit <= '9') {
      value = digit - '0';
    } else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') {
      value = (digit | 0x20) - 'a' + 10u;
    } else {
      return false;
    }
    *unit = *unit << 4 | value;
  }
  return true;
}

// A text that is shorter than what it is read from: `out` has room.
struct text {
  uint8_t *ptr;
  size_t len;
};

static void push(struct text *out, uint32_t byte) { out->ptr[out->len++] = (uint8_t)byte; }

static void push_utf8(struct text *out, uint32_t point) {
  if (point < 0x80) {
    push(out, point);
    return;
  }
  if (point < 0x800) {
    push(out, 0xC0 | point >> 6);
  } else {
    if (point < 0x10000) {
      push(out, 0xE0 | point >> 12);
    } else {
      push(out, 0xF0 | point >> 18);
      push(out, 0x80 | (point >> 12 & 0x3F));
    }
    push(out, 0x80 | (point >> 6 & 0x3F));
  }
  push(out, 0x80 | (point & 0x3F));
}

// The code point after `\u`, including the second half of a surrogate pair.
static bool read_unicode(wl_settings *json, struct text *out) {
  uint32_t unit, low;
  if (!read_hex(json, &unit)) return false;
  if (unit >= 0xDC00 && unit <= 0xDFFF) return false;
  if (unit >= 0xD800 && unit <= 0xDBFF) {
    if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u') return false;
    json->at += 2;
    if (!read_hex(json, &low) || low < 0xDC00 || low > 0xDFFF) return false;
    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  }
  push_utf8(out, unit);
  return true;
}

static bool read_escape(wl_settings *json, struct text *out) {
  static const char *const names = "\"\\/bfnrt";
  static const char *const bytes = "\"\\/\b\f\n\r\t";
  if (json->at == json->end) return false;
  uint8_t name = *json->at++;
  if (name == 'u') return read_unicode(json, out);
  const char *place = name == 0 ? NULL : strchr(names, name);
  if (place == NULL) return false;
  push(out, (uint8_t)bytes[place - names]);
  return true;
}

// Reads a string. It stays as long as the instance. Returns false if there is none.
static bool read_string(wl_settings *json, wl_text *value) {
  if (!take(json, '"')) return false;
  const uint8_t *last = json->at;
  while (last < json->end && *last != '"') last += *last == '\\' ? 2 : 1;
  if (last >= json->end) return false;
  struct text out = {wl_memory((size_t)(last - json->at)), 0};
  while (json->at < last) {
    uint8_t byte = *json->at++;
    if (byte != '\\') {
      push(&out, byte);
    } else if (!read_escape(json, &out)) {
      free(out.ptr);
      return false;
    }
  }
  json->at += 1;
  *value = (wl_text){out.ptr, out.len};
  return true;
}

static bool skip_value(wl_settings *json, int depth);

// Skips the rest of a table (`close` is a brace) or of an array.
static bool skip_members(wl_settings *json, uint8_t close, int depth) {
  if (take(json, close)) return true;
  do {
    wl_text key;
    if (close == '}' && (!read_string(json, &key) || !take(json, ':'))) return false;
    if (!skip_value(json, depth)) return false;
  } while (take(json, ','));
  return take(json, close);
}

static bool skip_value(wl_settings *json, int depth) {
  wl_text text;
  if (depth == 0) return false;
  if (peek(json) == '"') return read_string(json, &text);
  if (take(json, '{')) return skip_members(json, '}', depth - 1);
  if (take(json, '[')) return skip_members(json, ']', depth - 1);
  const uint8_t *start = json->at;
  while (json->at < json->end && *json->at != 0 && strchr(",]} \t\n\r", *json->at) == NULL) {
    json->at += 1;
  }
  return json->at > start;
}

// --- the table -----------------------------------------------------------------------------------

bool wl_next_key(wl_settings *settings, wl_text *key) {
  bool first = !settings->begun;
  if (first && !take(settings, '{')) {
    settings->begun = true;
    give_up(settings);
    return false;
  }
  settings->begun = true;
  if (settings->at == settings->end || take(settings, '}')) return false;
  if ((!first && !take(settings, ',')) || !read_string(settings, &settings->key) ||
      !take(settings, ':')) {
    give_up(settings);
    return false;
  }
  *key = settings->key;
  return true;
}

// Says that the value should be something else, and skips it.
static void mistyped(wl_settings *settings, wl_text at, const char *message) {
  wrong_at(settings, at, wl_literal(message));
  if (!skip_value(settings, DEPTH)) give_up(settings);
}

static wl_text read_text_at(wl_settings *settings, wl_text at) {
  wl_text value = {NULL, 0};
  if (peek(settings) != '"') {
    mistyped(settings, at, "must be a string");
  } else if (!read_string(settings, &value)) {
    give_up(settings);
  }
  return value;
}

wl_text wl_read_text(wl_settings *settings) {
  return read_text_at(settings, pointer_to(settings->key));
}

wl_texts wl_read_texts(wl_settings *settings) {
  wl_texts list = {NULL, 0};
  wl_text at = pointer_to(settings->key);
  if (!take(settings, '[')) {
    mistyped(settings, at, "must be a list of strings");
    return list;
  }
  if (take(settings, ']')) return list;
  do {
    wl_text place = wl_join(3, at, wl_literal("/"), wl_decimal(list.len));
    wl_text *grown = realloc(list.ptr, (list.len + 1) * sizeof *grown);
    if (grown == NULL) wl_fail();
    list.ptr = grown;
    list.ptr[list.len++] = read_text_at(settings, place);
  } while (take(settings, ','));
  if (!take(settings, ']')) give_up(settings);
  return list;
}

bool wl_read_flag(wl_settings *settings) {
  uint8_t first = peek(settings);
  if (first != 't' && first != 'f') {
    mistyped(settings, pointer_to(settings->key), "must be true or false");
    return false;
  }
  if (!skip_value(settings, DEPTH)) give_up(settings);
  return first == 't';
}

uint64_t wl_read_number(wl_settings *settings) {
  peek(settings);
  const uint8_t *start = settings->at;
  const uint8_t *end = start;
  while (end < settings->end && *end >= '0' && *end <= '9') end += 1;
  bool whole = end > start && (end == settings->end || strchr(".eE", *end) == NULL);
  if (!whole) {
    mistyped(settings, pointer_to(settings->key), "must be a whole number, 0 or more");
    return 0;
  }
  settings->at = end;
  return wl_number((wl_text){(uint8_t *)start, (size_t)(end - start)});
}

void wl_unknown(wl_settings *settings, const char *known) {
  wl_text message = wl_join(4, wl_literal("unknown setting `"), settings->key,
                            wl_literal("`; there are: "), wl_literal(known));
  wrong_at(settings, pointer_to(settings->key), message);
  if (!skip_value(settings, DEPTH)) give_up(settings);
}
