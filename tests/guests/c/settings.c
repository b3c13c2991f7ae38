#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

// The deepest nesting of arrays and tables in unknown settings.
enum { DEPTH = 64 };

typedef exports_windlass_filter_lifecycle_list_diagnostic_t complaint_list;
typedef exports_windlass_filter_lifecycle_diagnostic_t complaint;

struct reader {
  const uint8_t *at;
  const uint8_t *end;
};

// --- complaints -----------------------------------------------------------------------------

static void complain(complaint_list *list, request_filter_string_t at,
                     request_filter_string_t message) {
  complaint *ptr = realloc(list->ptr, (list->len + 1) * sizeof *ptr);
  if (ptr == NULL) abort();
  ptr[list->len] = (complaint){at, message};
  list->ptr = ptr;
  list->len += 1;
}

static void complain_about(complaint_list *list, const char *at, const char *message) {
  struct text pointer = {0}, words = {0};
  text_add_literal(&pointer, at);
  text_add_literal(&words, message);
  complain(list, text_take(&pointer), text_take(&words));
}

// A JSON pointer to a key of the settings (RFC 6901, section 3).
static request_filter_string_t pointer_to(request_filter_string_t key) {
  struct text pointer = {0};
  text_push(&pointer, '/');
  for (size_t i = 0; i < key.len; i++) {
    if (key.ptr[i] == '~') {
      text_add_literal(&pointer, "~0");
    } else if (key.ptr[i] == '/') {
      text_add_literal(&pointer, "~1");
    } else {
      text_push(&pointer, key.ptr[i]);
    }
  }
  return text_take(&pointer);
}

static void complain_unknown(complaint_list *list, request_filter_string_t key) {
  struct text words = {0};
  text_add_literal(&words, "unknown field `");
  text_add(&words, key.ptr, key.len);
  text_add_literal(&words, "`, expected `header` or `query`");
  complain(list, pointer_to(key), text_take(&words));
}

// --- JSON (RFC 8259) --------------------------------------------------------------------------

// The next byte that is not white space, or 0 at the end.
static uint8_t peek(struct reader *json) {
  while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' ||
                                  *json->at == '\r')) {
    json->at += 1;
  }
  return json->at < json->end ? *json->at : 0;
}

static bool take(struct reader *json, uint8_t byte) {
  if (peek(json) != byte) return false;
  json->at += 1;
  return true;
}

static bool read_hex(struct reader *json, uint32_t *unit) {
  if (json->end - json->at < 4) return false;
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t digit = *json->at++;
    uint32_t value;
    if (digit >= '0' && digit <= '9') {
      value = digit - '0';
    } else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') {
      value = (digit | 0x20) - 'a' + 10;
    } else {
      return false;
    }
    *unit = *unit << 4 | value;
  }
  return true;
}

static void push_utf8(struct text *text, uint32_t point) {
  if (point < 0x80) {
    text_push(text, (uint8_t)point);
    return;
  }
  if (point < 0x800) {
    text_push(text, (uint8_t)(0xC0 | point >> 6));
  } else {
    if (point < 0x10000) {
      text_push(text, (uint8_t)(0xE0 | point >> 12));
    } else {
      text_push(text, (uint8_t)(0xF0 | point >> 18));
      text_push(text, (uint8_t)(0x80 | (point >> 12 & 0x3F)));
    }
    text_push(text, (uint8_t)(0x80 | (point >> 6 & 0x3F)));
  }
  text_push(text, (uint8_t)(0x80 | (point & 0x3F)));
}

// The code point after `\u`, including the second half of a surrogate pair.
static bool read_unicode(struct reader *json, struct text *text) {
  uint32_t unit, low;
  if (!read_hex(json, &unit)) return false;
  if (unit >= 0xDC00 && unit <= 0xDFFF) return false;
  if (unit >= 0xD800 && unit <= 0xDBFF) {
    if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u') return false;
    json->at += 2;
    if (!read_hex(json, &low) || low < 0xDC00 || low > 0xDFFF) return false;
    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  }
  push_utf8(text, unit);
  return true;
}

static bool read_escape(struct reader *json, struct text *text) {
  static const char *const names = "\"\\/bfnrt";
  static const char *const bytes = "\"\\/\b\f\n\r\t";
  if (json->at == json->end) return false;
  uint8_t name = *json->at++;
  if (name == 'u') return read_unicode(json, text);
  const char *place = name == 0 ? NULL : strchr(names, name);
  if (place == NULL) return false;
  text_push(text, (uint8_t)bytes[place - names]);
  return true;
}

// Reads a string. The caller owns `out`. Returns false if there is none.
static bool read_string(struct reader *json, request_filter_string_t *out) {
  struct text text = {0};
  if (!take(json, '"')) return false;
  while (json->at < json->end) {
    uint8_t byte = *json->at++;
    if (byte == '"') {
      *out = text_take(&text);
      return true;
    }
    if (byte != '\\') {
      text_push(&text, byte);
    } else if (!read_escape(json, &text)) {
      break;
    }
  }
  free(text.ptr);
  return false;
}

static bool skip_value(struct reader *json, int depth);

// Skips the rest of a table (`close` is a brace) or of an array.
static bool skip_members(struct reader *json, uint8_t close, int depth) {
  if (take(json, close)) return true;
  do {
    if (close == '}') {
      request_filter_string_t key;
      if (!read_string(json, &key)) return false;
      request_filter_string_free(&key);
      if (!take(json, ':')) return false;
    }
    if (!skip_value(json, depth)) return false;
  } while (take(json, ','));
  return take(json, close);
}

static bool skip_value(struct reader *json, int depth) {
  if (depth == 0) return false;
  uint8_t first = peek(json);
  if (first == '"') {
    request_filter_string_t text;
    if (!read_string(json, &text)) return false;
    request_filter_string_free(&text);
    return true;
  }
  if (take(json, '{')) return skip_members(json, '}', depth - 1);
  if (take(json, '[')) return skip_members(json, ']', depth - 1);
  const uint8_t *start = json->at;
  while (json->at < json->end && *json->at != 0 && strchr(",]} \t\n\r", *json->at) == NULL) {
    json->at += 1;
  }
  return json->at > start;
}

// --- the settings ---------------------------------------------------------------------------

// RFC 9110, section 5.6.2.
static bool is_field_name(request_filter_string_t name) {
  for (size_t i = 0; i < name.len; i++) {
    uint8_t byte = name.ptr[i];
    bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    bool digit = byte >= '0' && byte <= '9';
    if (!letter && !digit && (byte == 0 || strchr("!#$%&'*+-.^_`|~", byte) == NULL)) return false;
  }
  return name.len > 0;
}

// The settings as the operator wrote them. The names are owned.
struct setting {
  bool given;
  request_filter_string_t name;
};

struct written {
  struct setting header;
  struct setting query;
};

static void written_free(struct written *written) {
  request_filter_string_free(&written->header.name);
  request_filter_string_free(&written->query.name);
}

// Reads one member of the table. Returns false if the text is not JSON.
static bool read_member(struct reader *json, struct written *written, complaint_list *complaints) {
  request_filter_string_t key;
  if (!read_string(json, &key)) return false;
  bool header = key.len == 6 && memcmp(key.ptr, "header", 6) == 0;
  bool query = key.len == 5 && memcmp(key.ptr, "query", 5) == 0;
  if (!header && !query) complain_unknown(complaints, key);
  request_filter_string_free(&key);
  if (!take(json, ':')) return false;
  if (!header && !query) return skip_value(json, DEPTH);
  if (peek(json) != '"') {
    complain_about(complaints, header ? "/header" : "/query", "must be a string");
    return skip_value(json, DEPTH);
  }
  struct setting *setting = header ? &written->header : &written->query;
  request_filter_string_free(&setting->name);
  setting->given = read_string(json, &setting->name);
  return setting->given;
}

static bool read_table(struct reader *json, struct written *written, complaint_list *complaints) {
  if (!take(json, '{')) return false;
  if (!take(json, '}')) {
    do {
      if (!read_member(json, written, complaints)) return false;
    } while (take(json, ','));
    if (!take(json, '}')) return false;
  }
  return peek(json) == 0 && json->at == json->end;
}

static void check(const struct written *written, complaint_list *complaints) {
  if (written->header.given && written->query.given) {
    complain_about(complaints, "/query",
                   "the key is in a header or in the query: remove `header` or `query`");
  } else if (written->query.given && written->query.name.len == 0) {
    complain_about(complaints, "/query", "name the query parameter");
  } else if (written->header.given && !is_field_name(written->header.name)) {
    struct text pointer = {0}, words = {0};
    text_add_literal(&pointer, "/header");
    text_push(&words, '`');
    text_add(&words, written->header.name.ptr, written->header.name.len);
    text_add_literal(&words, "` is not a legal header name");
    complain(complaints, text_take(&pointer), text_take(&words));
  }
}

bool settings_read(request_filter_string_t text, struct source *source,
                   complaint_list *complaints) {
  struct reader json = {text.ptr, text.ptr + text.len};
  struct written written = {0};
  *complaints = (complaint_list){0};
  if (!read_table(&json, &written, complaints)) {
    complain_about(complaints, "", "the settings are not a table");
  }
  check(&written, complaints);
  if (complaints->len > 0) {
    written_free(&written);
    return false;
  }
  source->in_query = written.query.given;
  if (written.query.given) {
    source->name = written.query.name;
    return true;
  }
  if (!written.header.given) request_filter_string_dup(&written.header.name, "x-api-key");
  for (size_t i = 0; i < written.header.name.len; i++) {
    uint8_t *byte = &written.header.name.ptr[i];
    if (*byte >= 'A' && *byte <= 'Z') *byte |= 0x20;
  }
  source->name = written.header.name;
  return true;
}
