// A recipe for each host interface. The request field `x-recipe` chooses one.

#include <string.h>

#include "windlass.h"

enum { MINUTE_MS = 60000 };

// The number of the token check, and the operator's list.
static uint32_t bearer;
static wl_text blocked;

static const char *const labels[] = {"method"};

static wl_info describe(void) {
  return wl_describe("recipes", "0.1.0", "a recipe for each host interface", NULL);
}

// --- configure -----------------------------------------------------------------------------------

// At most one request a minute of each address.
static void define_rate(void) {
  windlass_host_rates_bound_t bound = {
      .name = wl_literal("address"),
      .by = {.tag = WINDLASS_HOST_RATES_SOURCE_HEADER, .val.header = wl_literal("x-address")},
      .missing = WINDLASS_HOST_RATES_MISSING_SKIP,
      .algorithm = WINDLASS_HOST_RATES_ALGORITHM_TOKEN_BUCKET,
      .limit = 1,
      .window_ms = MINUTE_MS,
      .burst = 1,
  };
  windlass_host_rates_list_bound_t bounds = {&bound, 1};
  windlass_host_rates_define(&bounds);
}

static uint32_t define_token(void) {
  wl_text verifier = wl_literal("issuer");
  windlass_jwt_tokens_mapping_t claim = {wl_literal("sub"), wl_literal("user.id"), true};
  windlass_jwt_tokens_check_t check = {
      .verifiers = {&verifier, 1},
      .claims = {&claim, 1},
      .token_field = {true, {wl_literal("authorization"), {true, wl_literal("Bearer")}, true}},
  };
  return windlass_jwt_tokens_define(&check);
}

// Every response gets this field, without a response phase.
static void edit_every_response(void) {
  windlass_host_response_edits_response_edit_t edit = {
      .tag = WINDLASS_HOST_RESPONSE_EDITS_RESPONSE_EDIT_SET,
      .val.set = {wl_literal("x-served-by"), {(uint8_t *)"recipes", strlen("recipes")}},
  };
  windlass_host_response_edits_list_response_edit_t edits = {&edit, 1};
  windlass_host_response_edits_edit_error_t refused;
  if (!windlass_host_response_edits_edit(&edits, &refused)) wl_fail();
}

static void configure(wl_settings *settings) {
  wl_text key, name = wl_literal("blocked");
  while (wl_next_key(settings, &key)) wl_unknown(settings, "none");
  plugin_list_u8_t list;
  if (!windlass_host_documents_read(&name, 0, UINT32_MAX, &list)) {
    wl_wrong(settings, "", "the document `blocked` is missing: documents = { blocked = \"..\" }");
    return;
  }
  // It stays as long as the instance, so it is not freed.
  blocked = (wl_text){list.ptr, list.len};
  define_rate();
  bearer = define_token();
  edit_every_response();
  wl_declare_series(settings, WL_COUNTER, "recipe_requests_total", labels, 1);
  wl_declare_sometimes(settings, "user.id");
  wl_declare_sometimes(settings, "consumer.id");
  wl_declare_sometimes(settings, "api-key.id");
  wl_declare_sometimes(settings, "auth.method");
  wl_declare_sometimes(settings, "plan.id");
}

// --- the recipes ---------------------------------------------------------------------------------

static wl_request_verdict pass(void) { return wl_next(wl_skip_body()); }

// `metrics`: series are numbered in the order in which `configure` declared them.
static wl_request_verdict count(void) {
  plugin_string_t method;
  windlass_host_exchange_method(&method);
  plugin_list_string_t values = {&method, 1};
  windlass_host_metrics_add(0, &values, 1);
  plugin_string_free(&method);
  return pass();
}

// `cache`: a value that all instances and workers share, for a minute.
static wl_request_verdict remember(void) {
  wl_text key = wl_literal("first-path"), counter = wl_literal("requests");
  plugin_list_u8_t first;
  if (!windlass_host_cache_get(&key, &first)) {
    wl_text path = wl_path();
    plugin_list_u8_t value = {path.ptr, path.len};
    // False only if the value is too large.
    windlass_host_cache_put(&key, &value, MINUTE_MS);
    if (!windlass_host_cache_get(&key, &first)) return pass();
  }
  int64_t requests = windlass_host_cache_increment(&counter, 1, MINUTE_MS);
  wl_set_header(WL_REQUEST, wl_literal("x-first-path"), wl_until_end(first.ptr, first.len));
  wl_set_header(WL_REQUEST, wl_literal("x-count"), wl_decimal((uint64_t)requests));
  return pass();
}

// `keys`: sets `consumer.id` and the other attributes of the key, and removes the field.
static bool identify(void) {
  wl_text field = wl_literal("x-api-key");
  windlass_host_keys_field_error_t error;
  return windlass_host_keys_identify_field(&field, true, &error);
}

static wl_request_verdict find_key(void) {
  // The client must not learn which keys there are.
  return identify() ? pass() : wl_refuse(401, "key_rejected");
}

// `limits`: takes from the plan of the key.
static wl_request_verdict charge_plan(void) {
  windlass_host_limits_decision_t decision;
  windlass_host_limits_uncharged_t why;
  if (!identify()) return wl_refuse(401, "key_rejected");
  if (!windlass_host_limits_charge(NULL, 1, &decision, &why)) return wl_refuse(403, "no_plan");
  return decision.allowed ? pass() : wl_refuse(429, "throttled");
}

// `rates`
static wl_request_verdict limit_rate(void) {
  windlass_host_rates_decision_t decision;
  windlass_host_rates_take(1, &decision);
  bool allowed = decision.outcome == WINDLASS_HOST_RATES_OUTCOME_ALLOWED;
  return allowed ? pass() : wl_refuse(429, "too_many_requests");
}

// `windlass:jwt`: the gateway finds the token and hides it from the endpoint. The filter never sees it. While keys are
// being fetched, the verdict does not matter: the phase runs again.
static wl_request_verdict verify_token(void) {
  windlass_jwt_tokens_field_error_t error;
  if (windlass_jwt_tokens_verify_field(bearer, &error)) return pass();
  windlass_jwt_tokens_field_error_free(&error);
  return wl_refuse(401, "token_rejected");
}

// `windlass:callout`: the phase runs again when the answer is there, and the same call gives it then.
static wl_request_verdict ask(void) {
  wl_text target = wl_literal("authorizer"), user = {0};
  wl_header(WL_REQUEST, wl_literal("x-user"), &user);
  windlass_callout_calls_tuple2_field_name_field_value_t field = {wl_literal("x-user"),
                                                                  {user.ptr, user.len}};
  windlass_callout_calls_request_t request = {
      .method = wl_literal("GET"),
      .path = wl_literal("/allowed"),
      .headers = {&field, 1},
      .share = {.tag = WINDLASS_CALLOUT_CALLS_SHARING_ALONE},
  };
  windlass_callout_calls_response_t answer;
  windlass_callout_calls_call_error_t error;
  if (!windlass_callout_calls_call(&target, &request, &answer, &error)) {
    bool not_yet = error.tag == WINDLASS_CALLOUT_CALLS_CALL_ERROR_NOT_YET;
    windlass_callout_calls_call_error_free(&error);
    return not_yet ? pass() : wl_refuse(502, "authorizer_failed");
  }
  bool allowed = answer.status == 200;
  windlass_callout_calls_response_free(&answer);
  return allowed ? pass() : wl_refuse(403, "not_allowed");
}

// Whether a line of the operator's list is this text.
static bool is_blocked(wl_text text) {
  for (size_t start = 0, end; start < blocked.len; start = end + 1) {
    for (end = start; end < blocked.len && blocked.ptr[end] != '\n';) end++;
    if (wl_same((wl_text){blocked.ptr + start, end - start}, text)) return true;
  }
  return false;
}

// `documents`
static wl_request_verdict look_up(void) {
  wl_text agent = {0};
  wl_header(WL_REQUEST, wl_literal("user-agent"), &agent);
  return is_blocked(agent) ? wl_refuse(403, "agent_blocked") : pass();
}

// `response-edits` and `problem-members`
static wl_request_verdict edit(void) {
  wl_text refuse, members = wl_literal("{\"detail\":\"ask somebody else\"}");
  if (wl_header(WL_REQUEST, wl_literal("x-refuse"), &refuse)) {
    windlass_host_problem_members_set(&members);
    return wl_refuse(403, "refused");
  }
  windlass_host_response_edits_response_edit_t member = {
      .tag = WINDLASS_HOST_RESPONSE_EDITS_RESPONSE_EDIT_ADD_MEMBER,
      .val.add_member = {wl_literal("vary"), {(uint8_t *)"x-recipe", strlen("x-recipe")}},
  };
  windlass_host_response_edits_list_response_edit_t edits = {&member, 1};
  windlass_host_response_edits_edit_error_t refused;
  if (!windlass_host_response_edits_edit(&edits, &refused)) wl_fail();
  return pass();
}

// `raw-params`: `a%2Fb` stays one segment, because the parameter is put in as the client spelled it.
static wl_request_verdict build_path(void) {
  wl_text name = wl_literal("id"), id;
  if (!windlass_host_raw_params_path_param(&name, &id)) return pass();
  wl_text path = wl_join(2, wl_literal("/v2/orders/"), wl_until_end(id.ptr, id.len));
  windlass_host_exchange_edit_error_t refused;
  // The value is the client's, so a refused path is the client's mistake.
  bool set = windlass_host_exchange_set_path(&path, &refused);
  return set ? pass() : wl_refuse(400, "path_refused");
}

static wl_request_verdict on_request(void) {
  wl_text recipe;
  if (!wl_header(WL_REQUEST, wl_literal("x-recipe"), &recipe)) recipe = wl_literal("");
  if (wl_is(recipe, "count")) return count();
  if (wl_is(recipe, "cache")) return remember();
  if (wl_is(recipe, "key")) return find_key();
  if (wl_is(recipe, "plan")) return charge_plan();
  if (wl_is(recipe, "rate")) return limit_rate();
  // The head waits until `on_request_body` has seen the whole body.
  if (wl_is(recipe, "signature")) return wl_next(wl_whole(64 * 1024));
  if (wl_is(recipe, "token")) return verify_token();
  if (wl_is(recipe, "ask")) return ask();
  if (wl_is(recipe, "list")) return look_up();
  if (wl_is(recipe, "edit")) return edit();
  if (wl_is(recipe, "path")) return build_path();
  return wl_refuse(400, "recipe_unknown");
}

// `crypto`: only `signature` asks for the body, all of it at once.
static wl_chunk_verdict on_request_body(uint64_t len, bool last) {
  (void)last;
  wl_text digits = {0}, secret = wl_literal("webhook");
  wl_header(WL_REQUEST, wl_literal("x-signature"), &digits);
  wl_text body = wl_piece(len), tag = wl_unhex(digits);
  plugin_list_u8_t data = {body.ptr, body.len}, given = {tag.ptr, tag.len};
  bool good = windlass_host_crypto_hmac_verify(WINDLASS_HOST_CRYPTO_HASH_SHA256, &secret, &data,
                                               &given);
  return good ? wl_chunk_next() : wl_chunk_refuse(401, "signature_wrong");
}

WL_EXPORT_LIFECYCLE(describe, configure)
WL_EXPORT_REQUEST(on_request)
WL_EXPORT_REQUEST_BODY(on_request_body)
