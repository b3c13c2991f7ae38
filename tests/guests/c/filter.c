// The api-key filter in C, beside the Rust plugin `api-key`.
//
// It behaves like the Rust plugin with its default statuses: a missing key is 401 `api_key_missing`,
// a rejected key is 403 `api_key_rejected`. An accepted key becomes attributes, and is removed from
// the request. The filter frees everything that the gateway passes to it, so an instance may serve
// any number of calls. It keeps nothing between two calls but its settings.

#include <stdlib.h>
#include <string.h>

#include "query.h"
#include "request_filter.h"
#include "settings.h"
#include "text.h"

typedef exports_windlass_filter_request_phase_request_verdict_t verdict;

static const char *const SETTINGS_SCHEMA =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
    "\"properties\":{"
    "\"header\":{\"type\":\"string\",\"description\":\"The header that holds the key.\"},"
    "\"query\":{\"type\":\"string\",\"description\":\"The query parameter that holds the key.\"}},"
    "\"additionalProperties\":false}";

static struct source source;

// --- lifecycle --------------------------------------------------------------------------------

void exports_windlass_filter_lifecycle_describe(
    exports_windlass_filter_lifecycle_plugin_info_t *info) {
  request_filter_string_dup(&info->name, "api-key-c");
  request_filter_string_dup(&info->version, "0.1.0");
  info->settings_schema.is_some = true;
  request_filter_string_dup(&info->settings_schema.val, SETTINGS_SCHEMA);
  request_filter_string_dup(&info->summary, "finds the consumer by an API key (in C)");
}

static request_filter_list_string_t names(const char *const *literals, size_t len) {
  request_filter_list_string_t list = {malloc(len * sizeof *list.ptr), len};
  if (list.ptr == NULL) abort();
  for (size_t i = 0; i < len; i++) request_filter_string_dup(&list.ptr[i], literals[i]);
  return list;
}

bool exports_windlass_filter_lifecycle_configure(
    request_filter_string_t *settings, exports_windlass_filter_lifecycle_setup_t *setup,
    exports_windlass_filter_lifecycle_list_diagnostic_t *complaints) {
  static const char *const provides[] = {"consumer.id", "api-key.id", "auth.method"};
  static const char *const sometimes[] = {"plan.id"};
  struct source configured;
  bool good = settings_read(*settings, &configured, complaints);
  request_filter_string_free(settings);
  if (!good) return false;
  request_filter_string_free(&source.name);
  source = configured;
  *setup = (exports_windlass_filter_lifecycle_setup_t){
      .provides = names(provides, sizeof provides / sizeof *provides),
      .sometimes = names(sometimes, sizeof sometimes / sizeof *sometimes),
  };
  return true;
}

// --- refusals -----------------------------------------------------------------------------------

// The challenge (RFC 9110, section 11.6.1), named as OpenAPI names API keys.
static request_filter_string_t challenge(void) {
  struct text text = {0};
  text_add_literal(&text, source.in_query ? "ApiKey in=\"query\", name=\""
                                          : "ApiKey in=\"header\", name=\"");
  for (size_t i = 0; i < source.name.len; i++) {
    uint8_t byte = source.name.ptr[i];
    if (byte == '"' || byte == '\\') text_push(&text, '\\');
    text_push(&text, byte < 0x20 || byte == 0x7F ? ' ' : byte);
  }
  text_push(&text, '"');
  return text_take(&text);
}

// The body is empty, so the gateway fills it in, in the error style of the API.
static void refuse(verdict *ret, uint16_t status, const char *reason) {
  *ret = (verdict){.tag = WINDLASS_HOST_TYPES_REQUEST_VERDICT_RESPOND};
  windlass_host_types_local_response_t *response = &ret->val.respond;
  *response = (windlass_host_types_local_response_t){.status = status};
  request_filter_string_dup(&response->reason, reason);
  if (status != 401) return;
  response->headers.ptr = malloc(sizeof *response->headers.ptr);
  if (response->headers.ptr == NULL) abort();
  response->headers.len = 1;
  request_filter_string_dup(&response->headers.ptr->f0, "www-authenticate");
  request_filter_string_t value = challenge();
  response->headers.ptr->f1 = (windlass_host_types_field_value_t){value.ptr, value.len};
}

static void log_why(windlass_host_keys_key_reject_t why) {
  static const char *const words[] = {"unknown", "disabled", "expired"};
  if (!windlass_host_log_enabled(WINDLASS_HOST_LOG_LEVEL_DEBUG)) return;
  request_filter_string_t message;
  request_filter_tuple2_string_string_t field;
  request_filter_string_set(&message, "the key is not accepted");
  request_filter_string_set(&field.f0, "why");
  request_filter_string_set(&field.f1, words[why]);
  request_filter_list_tuple2_string_string_t fields = {&field, 1};
  windlass_host_log_write(WINDLASS_HOST_LOG_LEVEL_DEBUG, &message, &fields);
}

// --- the request --------------------------------------------------------------------------------

// Reads the key that the client sent. Returns false if there is none; then there is nothing to free.
static bool presented_key(request_filter_list_u8_t *presented) {
  if (source.in_query) {
    request_filter_string_t value;
    if (!windlass_host_exchange_query_param(&source.name, &value)) return false;
    *presented = (request_filter_list_u8_t){value.ptr, value.len};
  } else {
    windlass_host_exchange_field_value_t value;
    if (!windlass_host_exchange_header(WINDLASS_HOST_TYPES_MESSAGE_REQUEST, &source.name, &value)) {
      return false;
    }
    *presented = (request_filter_list_u8_t){value.ptr, value.len};
  }
  return presented->len > 0;
}

static bool set_text(request_filter_string_t name, request_filter_string_t value) {
  windlass_host_exchange_edit_error_t refused;
  windlass_host_exchange_attribute_value_t attribute = {
      .tag = WINDLASS_HOST_TYPES_ATTRIBUTE_VALUE_TEXT, .val.text = value};
  return windlass_host_exchange_set_attribute(&name, &attribute, &refused);
}

static bool set_fact(const char *literal, request_filter_string_t value) {
  request_filter_string_t name;
  request_filter_string_set(&name, literal);
  return set_text(name, value);
}

// Sets the attributes that the operator gave the key. They must not replace the key's own id.
static bool set_attached(const request_filter_list_tuple2_string_string_t *attributes) {
  for (size_t i = 0; i < attributes->len; i++) {
    const request_filter_tuple2_string_string_t *attribute = &attributes->ptr[i];
    if (attribute->f0.len == 2 && memcmp(attribute->f0.ptr, "id", 2) == 0) continue;
    struct text text = {0};
    text_add_literal(&text, "api-key.");
    text_add(&text, attribute->f0.ptr, attribute->f0.len);
    request_filter_string_t name = text_take(&text);
    bool set = set_text(name, attribute->f1);
    request_filter_string_free(&name);
    if (!set) return false;
  }
  return true;
}

static bool provide(const windlass_host_keys_api_key_t *key) {
  request_filter_string_t method;
  request_filter_string_set(&method, "api-key");
  return set_fact("consumer.id", key->consumer) && set_fact("api-key.id", key->id) &&
         set_fact("auth.method", method) &&
         (!key->plan.is_some || set_fact("plan.id", key->plan.val)) &&
         set_attached(&key->attributes);
}

// Removes the key from the request.
static bool hide_key(void) {
  windlass_host_exchange_edit_error_t refused;
  if (!source.in_query) {
    uint32_t removed;
    return windlass_host_exchange_remove_header(WINDLASS_HOST_TYPES_MESSAGE_REQUEST, &source.name,
                                                &removed, &refused);
  }
  request_filter_string_t path;
  windlass_host_exchange_path(&path);
  request_filter_string_t edited = query_without(path, source.name);
  bool same = edited.len == path.len;
  bool done = same || windlass_host_exchange_set_path(&edited, &refused);
  request_filter_string_free(&edited);
  request_filter_string_free(&path);
  return done;
}

void exports_windlass_filter_request_phase_on_request(verdict *ret) {
  request_filter_list_u8_t presented;
  if (!presented_key(&presented)) {
    refuse(ret, 401, "api_key_missing");
    return;
  }
  windlass_host_keys_api_key_t key;
  windlass_host_keys_key_reject_t why;
  bool found = windlass_host_keys_find(&presented, &key, &why);
  request_filter_list_u8_free(&presented);
  if (!found) {
    log_why(why);
    refuse(ret, 403, "api_key_rejected");
    return;
  }
  bool done = provide(&key) && hide_key();
  windlass_host_keys_api_key_free(&key);
  // If the gateway refuses an edit, the phase fails; the trap undoes the earlier edits.
  if (!done) abort();
  *ret = (verdict){.tag = WINDLASS_HOST_TYPES_REQUEST_VERDICT_NEXT};
  ret->val.next.tag = WINDLASS_HOST_TYPES_BODY_MODE_SKIP;
}
