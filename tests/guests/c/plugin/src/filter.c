// The api-key filter in C, beside the Rust plugin `api-key`.
//
// It behaves like the Rust plugin with its default statuses: a missing key is 401 `api_key_missing`, a rejected key is
// 403 `api_key_rejected`. An accepted key becomes attributes, and is removed from the request. It keeps nothing between
// two calls but its settings.

#include <string.h>

#include "query.h"
#include "windlass.h"
#include "windlass_log.h"

static const char schema[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
    "\"properties\":{"
    "\"header\":{\"type\":\"string\",\"description\":\"The header that holds the key.\"},"
    "\"query\":{\"type\":\"string\",\"description\":\"The query parameter that holds the key.\"}},"
    "\"additionalProperties\":false}";

static bool in_query;
// The header (lower case) or the parameter that has the key.
static wl_text name;
// The challenge (RFC 9110, section 11.6.1), named as OpenAPI names API keys. It stays as long as the instance.
static wl_text challenge;

// --- lifecycle ---------------------------------------------------------------------------------------

static wl_info describe(void) {
  return wl_describe("api-key-c", "0.1.0", "finds the consumer by an API key (in C)", schema);
}

// RFC 9110, section 5.6.2.
static bool is_field_name(wl_text text) {
  for (size_t i = 0; i < text.len; i++) {
    uint8_t byte = text.ptr[i];
    bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    bool digit = byte >= '0' && byte <= '9';
    if (!letter && !digit && (byte == 0 || strchr("!#$%&'*+-.^_`|~", byte) == NULL)) return false;
  }
  return text.len > 0;
}

static wl_text lower(wl_text text) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z') text.ptr[i] |= 0x20;
  }
  return text;
}

static wl_text make_challenge(void) {
  const char *start = in_query ? "ApiKey in=\"query\", name=\"" : "ApiKey in=\"header\", name=\"";
  size_t len = strlen(start);
  // Each byte of the name takes two at most, and the last quotation mark one.
  wl_text text = {wl_memory(len + 2 * name.len + 1), len};
  memcpy(text.ptr, start, len);
  for (size_t i = 0; i < name.len; i++) {
    uint8_t byte = name.ptr[i];
    if (byte == '"' || byte == '\\') text.ptr[text.len++] = '\\';
    text.ptr[text.len++] = byte < 0x20 || byte == 0x7F ? ' ' : byte;
  }
  text.ptr[text.len++] = '"';
  return text;
}

static void configure(wl_settings *settings) {
  wl_text key, header = {0}, query = {0};
  bool has_header = false, has_query = false;
  while (wl_next_key(settings, &key)) {
    if (wl_is(key, "header")) {
      header = lower(wl_read_text(settings));
      has_header = true;
    } else if (wl_is(key, "query")) {
      query = wl_read_text(settings);
      has_query = true;
    } else {
      wl_unknown(settings, "`header`, `query`");
    }
  }
  if (has_header && has_query) {
    wl_wrong(settings, "/query", "the key is in a header or in the query: remove `header` or `query`");
  } else if (has_query && query.len == 0) {
    wl_wrong(settings, "/query", "name the query parameter");
  } else if (has_header && !is_field_name(header)) {
    wl_wrong(settings, "/header", "not a legal header name");
  }
  in_query = has_query;
  name = has_query ? query : has_header ? header : wl_literal("x-api-key");
  challenge = make_challenge();
  wl_declare_provided(settings, "consumer.id");
  wl_declare_provided(settings, "api-key.id");
  wl_declare_provided(settings, "auth.method");
  wl_declare_sometimes(settings, "plan.id");
}

// --- the request -------------------------------------------------------------------------------------

static wl_request_verdict missing(void) {
  wl_request_verdict verdict = wl_refuse(401, "api_key_missing");
  wl_add_header(&verdict.val.respond, "www-authenticate", challenge);
  return verdict;
}

static wl_request_verdict rejected(windlass_host_keys_key_reject_t why) {
  static const char *const words[] = {"unknown", "disabled", "expired"};
  wl_log(WL_DEBUG, "the key is not accepted", "why", wl_literal(words[why]));
  return wl_refuse(403, "api_key_rejected");
}

// The gateway finds the key, sets the attributes and removes the field, all in one call.
static wl_request_verdict by_header(void) {
  windlass_host_keys_field_error_t error;
  if (windlass_host_keys_identify_field(&name, true, &error)) return wl_next(wl_skip_body());
  switch (error.tag) {
    case WINDLASS_HOST_KEYS_FIELD_ERROR_MISSING:
      return missing();
    case WINDLASS_HOST_KEYS_FIELD_ERROR_REJECTED:
      return rejected(error.val.rejected);
    default:
      // If the gateway refuses an edit, the phase fails, and its edits are undone.
      wl_fail();
  }
}

static wl_request_verdict by_query(void) {
  wl_text value;
  if (!wl_query_param(name, &value) || value.len == 0) return missing();
  windlass_host_keys_identify_error_t error;
  plugin_list_u8_t presented = {value.ptr, value.len};
  if (!windlass_host_keys_identify(&presented, &error)) {
    if (error.tag != WINDLASS_HOST_KEYS_IDENTIFY_ERROR_REJECTED) wl_fail();
    return rejected(error.val.rejected);
  }
  wl_text path = wl_path(), edited = query_without(path, name);
  if (!wl_same(path, edited)) {
    windlass_host_exchange_edit_error_t refused;
    if (!windlass_host_exchange_set_path(&edited, &refused)) wl_fail();
  }
  return wl_next(wl_skip_body());
}

static wl_request_verdict on_request(void) { return in_query ? by_query() : by_header(); }

WL_EXPORT_LIFECYCLE(describe, configure)
WL_EXPORT_REQUEST(on_request)
