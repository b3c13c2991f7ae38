// Helpers for filters in C, above the bindings in `plugin.h`, which `windlass plugin build` generates of the plugin's
// world. Whatever has no helper here is called by its generated name.
//
// Memory: a text that a helper returns lives until the end of the phase, and is then freed. Settings live as long as
// the instance. So a filter that uses only helpers frees nothing.
//
// Failures: if the gateway refuses an edit, or there is no memory, the helper traps (`wl_fail`). Then the phase fails:
// its edits are undone, and the operator's `on_error` decides which response the client gets.

#ifndef WINDLASS_H
#define WINDLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "plugin.h"

// Fails the phase. Unlike `abort`, several in one function stay apart, so that the log names the right line.
#define wl_fail() __builtin_trap()

// --- texts: UTF-8 without a zero at the end ----------------------------------------------------

typedef plugin_string_t wl_text;

typedef struct {
  wl_text *ptr;
  size_t len;
} wl_texts;

// The text of a literal. Nothing is copied.
wl_text wl_literal(const char *literal);
bool wl_same(wl_text one, wl_text other);
bool wl_is(wl_text text, const char *literal);
bool wl_contains(wl_texts list, wl_text text);
// Whether bytes are UTF-8. Those of a client need not be, and the gateway takes no other text: it fails the phase.
bool wl_is_utf8(wl_text bytes);
// The texts one after the other: `wl_join(3, one, two, three)`.
wl_text wl_join(int count, ...);
// The digits of a number, and the number of digits. Text that is no number is 0.
wl_text wl_decimal(uint64_t number);
uint64_t wl_number(wl_text digits);
// The bytes that hexadecimal digits stand for. Empty if the text is something else.
wl_text wl_unhex(wl_text digits);

// --- the exchange ------------------------------------------------------------------------------

#define WL_REQUEST WINDLASS_HOST_TYPES_MESSAGE_REQUEST
#define WL_RESPONSE WINDLASS_HOST_TYPES_MESSAGE_RESPONSE
#define WL_TRAILERS WINDLASS_HOST_TYPES_MESSAGE_TRAILERS

typedef windlass_host_exchange_message_t wl_message;

// The first value of a field. False if there is none, or if it is not UTF-8.
bool wl_header(wl_message of, wl_text name, wl_text *value);
// The same, whatever its bytes are.
bool wl_header_bytes(wl_message of, wl_text name, wl_text *value);
void wl_set_header(wl_message of, wl_text name, wl_text value);
void wl_remove_header(wl_message of, wl_text name);
wl_text wl_path(void);
bool wl_query_param(wl_text name, wl_text *value);
// An attribute that is a text. False if there is none.
bool wl_attribute(wl_text name, wl_text *value);
// An attribute that is a whole number, such as `request.time-ms`. False if there is none.
bool wl_attribute_number(wl_text name, int64_t *value);
void wl_set_attribute(wl_text name, wl_text value);
// State of one exchange, from the request's phases to the response's.
bool wl_note(wl_text key, wl_text *value);
void wl_set_note(wl_text key, wl_text value);
// A copy of the current chunk of the body, in which `len` bytes are.
wl_text wl_piece(uint64_t len);

// --- verdicts ----------------------------------------------------------------------------------

typedef windlass_host_types_request_verdict_t wl_request_verdict;
typedef windlass_host_types_response_verdict_t wl_response_verdict;
typedef windlass_host_types_chunk_verdict_t wl_chunk_verdict;
typedef windlass_host_types_body_mode_t wl_body_mode;

// Which of the body enters the filter: nothing, each chunk, or all of it at once (up to `max` bytes).
wl_body_mode wl_skip_body(void);
wl_body_mode wl_chunks(void);
wl_body_mode wl_whole(uint64_t max);

wl_request_verdict wl_next(wl_body_mode body);
wl_response_verdict wl_response_next(wl_body_mode body);
wl_chunk_verdict wl_chunk_next(void);
// Keep the chunk, and pass it again with the next one.
wl_chunk_verdict wl_chunk_more(void);

// A response in place of the endpoint's. The gateway writes the body of an error in the API's style, with the reason (a
// word in snake_case) as its code.
wl_request_verdict wl_refuse(uint16_t status, const char *reason);
wl_chunk_verdict wl_chunk_refuse(uint16_t status, const char *reason);

// A field and a body of your own for a response: `wl_add_header(&verdict.val.respond, "retry-after", text)`. The bytes
// are copied.
typedef windlass_host_types_local_response_t wl_response;
void wl_add_header(wl_response *response, const char *name, wl_text value);
void wl_set_body(wl_response *response, wl_text body);

// --- settings ----------------------------------------------------------------------------------

typedef exports_windlass_filter_lifecycle_plugin_info_t wl_info;
typedef exports_windlass_filter_lifecycle_setup_t wl_setup;
typedef exports_windlass_filter_lifecycle_list_diagnostic_t wl_diagnostics;

wl_info wl_describe(const char *name, const char *version, const char *summary, const char *schema);

// Reads the operator's table. Use it as in the starter: `while (wl_next_key(settings, &key))` and one reader for each
// key. An error becomes a diagnostic, at the line of the setting.
typedef struct {
  const uint8_t *at;
  const uint8_t *end;
  wl_text key;
  bool begun;
  wl_diagnostics errors;
  wl_setup setup;
} wl_settings;

bool wl_next_key(wl_settings *settings, wl_text *key);
wl_text wl_read_text(wl_settings *settings);
wl_texts wl_read_texts(wl_settings *settings);
bool wl_read_flag(wl_settings *settings);
// A whole number, not negative.
uint64_t wl_read_number(wl_settings *settings);
// For a key that is no setting: `known` lists those that are.
void wl_unknown(wl_settings *settings, const char *known);
// An error at a JSON pointer: `/allow`, or empty for the whole table.
void wl_wrong(wl_settings *settings, const char *at, const char *message);

// What the filter tells the gateway of itself: a metric series (they are numbered from 0), and attributes that it always
// sets when it lets a request pass, that it sets sometimes, and that it cannot work without.
#define WL_COUNTER EXPORTS_WINDLASS_FILTER_LIFECYCLE_SERIES_KIND_COUNTER
#define WL_GAUGE EXPORTS_WINDLASS_FILTER_LIFECYCLE_SERIES_KIND_GAUGE
#define WL_HISTOGRAM EXPORTS_WINDLASS_FILTER_LIFECYCLE_SERIES_KIND_HISTOGRAM
void wl_declare_series(wl_settings *settings, exports_windlass_filter_lifecycle_series_kind_t kind,
                       const char *name, const char *const *labels, size_t count);
void wl_declare_provided(wl_settings *settings, const char *attribute);
void wl_declare_sometimes(wl_settings *settings, const char *attribute);
void wl_declare_required(wl_settings *settings, const char *attribute);

// --- exports: one line for each export of the world --------------------------------------------
//
// The compiler says that `exports_windlass_..` is undeclared if the world lacks the export.

// `wl_info describe(void)` and `void configure(wl_settings *settings)`.
#define WL_EXPORT_LIFECYCLE(describe, configure)                                            \
  void exports_windlass_filter_lifecycle_describe(wl_info *info) { *info = describe(); }    \
  bool exports_windlass_filter_lifecycle_configure(wl_text *json, wl_setup *setup,          \
                                                   wl_diagnostics *errors) {                \
    wl_settings settings = wl_settings_of(*json);                                           \
    configure(&settings);                                                                   \
    wl_end_phase();                                                                         \
    plugin_string_free(json);                                                               \
    bool good = settings.errors.len == 0;                                                   \
    /* Only one of them is read. */                                                         \
    if (good) *setup = settings.setup;                                                      \
    if (!good) *errors = settings.errors;                                                   \
    return good;                                                                            \
  }

// `wl_request_verdict on_request(void)`
#define WL_EXPORT_REQUEST(on_request)                                                       \
  _Static_assert(sizeof(&exports_windlass_filter_request_phase_on_request) > 0,             \
                 "add `export windlass:filter/request-phase@0.1.0;` to wit/world.wit");     \
  void exports_windlass_filter_request_phase_on_request(wl_request_verdict *verdict) {      \
    *verdict = on_request();                                                                \
    wl_end_phase();                                                                         \
  }

// `wl_chunk_verdict on_request_body(uint64_t len, bool last)`
#define WL_EXPORT_REQUEST_BODY(on_request_body)                                             \
  _Static_assert(sizeof(&exports_windlass_filter_request_body_phase_on_request_body) > 0,   \
                 "add `export windlass:filter/request-body-phase@0.1.0;` to wit/world.wit");\
  void exports_windlass_filter_request_body_phase_on_request_body(                          \
      uint64_t len, bool last, wl_chunk_verdict *verdict) {                                 \
    *verdict = on_request_body(len, last);                                                  \
    wl_end_phase();                                                                         \
  }

// `wl_response_verdict on_response(void)`
#define WL_EXPORT_RESPONSE(on_response)                                                     \
  _Static_assert(sizeof(&exports_windlass_filter_response_phase_on_response) > 0,           \
                 "add `export windlass:filter/response-phase@0.1.0;` to wit/world.wit");    \
  void exports_windlass_filter_response_phase_on_response(wl_response_verdict *verdict) {   \
    *verdict = on_response();                                                               \
    wl_end_phase();                                                                         \
  }

// `wl_chunk_verdict on_response_body(uint64_t len, bool last)`
#define WL_EXPORT_RESPONSE_BODY(on_response_body)                                           \
  _Static_assert(sizeof(&exports_windlass_filter_response_body_phase_on_response_body) > 0, \
                 "add `export windlass:filter/response-body-phase@0.1.0;` to wit/world.wit");\
  void exports_windlass_filter_response_body_phase_on_response_body(                        \
      uint64_t len, bool last, wl_chunk_verdict *verdict) {                                 \
    *verdict = on_response_body(len, last);                                                 \
    wl_end_phase();                                                                         \
  }

// `void on_log(void)`
#define WL_EXPORT_LOG(on_log)                                                               \
  _Static_assert(sizeof(&exports_windlass_filter_log_phase_on_log) > 0,                     \
                 "add `export windlass:filter/log-phase@0.1.0;` to wit/world.wit");         \
  void exports_windlass_filter_log_phase_on_log(void) {                                     \
    on_log();                                                                               \
    wl_end_phase();                                                                         \
  }

// Used by the lines above.
wl_settings wl_settings_of(wl_text json);
void wl_end_phase(void);
// Gives bytes to the phase, which frees them at its end. For values that generated functions return.
wl_text wl_until_end(uint8_t *ptr, size_t len);
// Memory that stays. Aborts if there is none.
void *wl_memory(size_t size);

#endif
