// Lets only listed teams pass, and counts the bytes of their request bodies.

#include "windlass.h"
#include "windlass_log.h"

static wl_text header;
static wl_texts allow;

static const char schema[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
    "\"properties\":{"
    "\"header\":{\"type\":\"string\",\"default\":\"x-team\","
    "\"description\":\"The request field that names the team.\"},"
    "\"allow\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1,"
    "\"description\":\"The teams that may pass.\"}},"
    "\"required\":[\"allow\"],\"additionalProperties\":false}";

static wl_info describe(void) {
  return wl_describe("{{name}}", "0.1.0", "lets only listed teams pass", schema);
}

static void configure(wl_settings *settings) {
  wl_text key;
  header = wl_literal("x-team");
  while (wl_next_key(settings, &key)) {
    if (wl_is(key, "header")) {
      header = wl_read_text(settings);
    } else if (wl_is(key, "allow")) {
      allow = wl_read_texts(settings);
    } else {
      wl_unknown(settings, "`header`, `allow`");
    }
  }
  if (allow.len == 0) wl_wrong(settings, "/allow", "name at least one team");
}

static wl_request_verdict on_request(void) {
  wl_text team;
  if (!wl_header(WL_REQUEST, header, &team)) return wl_refuse(401, "team_missing");
  if (!wl_contains(allow, team)) {
    wl_log(WL_INFO, "the team is not in `allow`", "team", team);
    return wl_refuse(403, "team_unknown");
  }
  wl_set_header(WL_REQUEST, wl_literal("x-checked-by"), wl_literal("{{name}}"));
  return wl_next(wl_chunks());
}

static wl_chunk_verdict on_request_body(uint64_t len, bool last) {
  (void)last;
  wl_text before = {0};
  wl_note(wl_literal("bytes"), &before);
  wl_set_note(wl_literal("bytes"), wl_decimal(wl_number(before) + len));
  return wl_chunk_next();
}

static wl_response_verdict on_response(void) {
  wl_text bytes;
  if (wl_note(wl_literal("bytes"), &bytes)) {
    wl_set_header(WL_RESPONSE, wl_literal("x-request-bytes"), bytes);
  }
  return wl_response_next(wl_skip_body());
}

WL_EXPORT_LIFECYCLE(describe, configure)
WL_EXPORT_REQUEST(on_request)
WL_EXPORT_REQUEST_BODY(on_request_body)
WL_EXPORT_RESPONSE(on_response)
