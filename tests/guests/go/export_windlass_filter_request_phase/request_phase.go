// Package export_windlass_filter_request_phase is the api-key filter in Go, beside the
// Rust plugin `api-key`.
//
// It behaves like the Rust plugin with its default statuses: a missing key is 401 `api_key_missing`,
// a rejected key is 403 `api_key_rejected`. An accepted key becomes attributes, and is removed from
// the request. The filter keeps nothing between two calls but its settings.
package export_windlass_filter_request_phase

import (
	. "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/filter"
	"wit_component/memory"
	exchange "wit_component/windlass_host_exchange"
	keys "wit_component/windlass_host_keys"
	log "wit_component/windlass_host_log"
	types "wit_component/windlass_host_types"
)

// OnRequest finds the key, and refuses the request or lets it pass.
func OnRequest() types.RequestVerdict {
	memory.Tidy()
	source := filter.Configured
	presented := presentedKey(source)
	if len(presented) == 0 {
		challenge := Tuple2[string, []byte]{F0: "www-authenticate", F1: []byte(source.Challenge())}
		return refuse(401, "api_key_missing", challenge)
	}
	found := keys.Find(presented)
	if found.IsErr() {
		logWhy(found.Err())
		return refuse(403, "api_key_rejected")
	}
	provide(found.Ok())
	hideKey(source)
	return types.MakeRequestVerdictNext(types.MakeBodyModeSkip())
}

// presentedKey is the key as the client sent it, or empty.
func presentedKey(source filter.Source) []byte {
	if !source.InQuery {
		return exchange.Header(types.Message_Request, source.Name).SomeOr(nil)
	}
	return []byte(exchange.QueryParam(source.Name).SomeOr(""))
}

func provide(key keys.ApiKey) {
	setText("consumer.id", key.Consumer)
	setText("api-key.id", key.Id)
	setText("auth.method", "api-key")
	if key.Plan.IsSome() {
		setText("plan.id", key.Plan.Some())
	}
	for _, attribute := range key.Attributes {
		// An attribute must not replace the key's own id.
		if attribute.F0 != "id" {
			setText("api-key."+attribute.F0, attribute.F1)
		}
	}
}

// hideKey removes the key from the request.
func hideKey(source filter.Source) {
	if !source.InQuery {
		must(exchange.RemoveHeader(types.Message_Request, source.Name))
		return
	}
	path := exchange.Path()
	if edited := filter.QueryWithout(path, source.Name); edited != path {
		must(exchange.SetPath(edited))
	}
}

func setText(name, value string) {
	must(exchange.SetAttribute(name, types.MakeAttributeValueText(value)))
}

// must fails the phase if the gateway refuses an edit; the trap undoes the earlier edits.
func must[T any](edit Result[T, types.EditError]) {
	if edit.IsErr() {
		panic("an edit was refused")
	}
}

func logWhy(why keys.KeyReject) {
	if log.Enabled(log.Level_Debug) {
		words := [...]string{"unknown", "disabled", "expired"}
		fields := []Tuple2[string, string]{{F0: "why", F1: words[why]}}
		log.Write(log.Level_Debug, "the key is not accepted", fields)
	}
}

// refuse without a body: the gateway fills it in, in the error style of the API.
func refuse(status uint16, reason string, headers ...Tuple2[string, []byte]) types.RequestVerdict {
	return types.MakeRequestVerdictRespond(types.LocalResponse{
		Status:  status,
		Headers: headers,
		Reason:  reason,
	})
}
