// Package filter is the api-key filter in Go, beside the Rust plugin `api-key`.
//
// It behaves like the Rust plugin with its default statuses: a missing key is 401 `api_key_missing`, a rejected key is
// 403 `api_key_rejected`. An accepted key becomes attributes, and is removed from the request. It looks the key up and
// sets each attribute by itself, and not by one call of `identify`: so the test of many calls makes many.
package filter

import (
	_ "embed"
	"strings"

	"windlass"
)

//go:embed settings.schema.json
var schema string

// Filter is one instance.
type Filter struct {
	inQuery bool
	// The header (lower case) or the parameter that has the key.
	name string
}

func (filter *Filter) Describe() windlass.Info {
	return windlass.Info{
		Name:           "api-key-go",
		Version:        "0.1.0",
		Summary:        "finds the consumer by an API key (in Go)",
		SettingsSchema: schema,
	}
}

// Configure declares no attributes. So a missing grant is no error of the configuration, but one at run time: an author
// must see its panic in the log.
func (filter *Filter) Configure(settings *windlass.Settings, setup *windlass.Setup) {
	filter.name = strings.ToLower(settings.Text("header", "x-api-key"))
	if query := settings.Text("query", ""); settings.Has("query") {
		filter.inQuery, filter.name = true, query
	}
	switch {
	case settings.Has("header") && filter.inQuery:
		settings.Refuse("/query", "the key is in a header or in the query: remove `header` or `query`")
	case filter.inQuery && filter.name == "":
		settings.Refuse("/query", "name the query parameter")
	case !filter.inQuery && !isFieldName(filter.name):
		settings.Refuse("/header", "`"+filter.name+"` is not a legal header name")
	}
}

// OnRequest finds the key, and refuses the request or lets it pass.
func (filter *Filter) OnRequest(request *windlass.Request) (windlass.RequestVerdict, error) {
	presented := filter.presented(request)
	if presented == "" {
		return windlass.Respond(401, "api_key_missing").WithHeader("www-authenticate", filter.challenge()), nil
	}
	key, err := windlass.FindKey(presented)
	if err != nil {
		windlass.Log.Debug("the key is not accepted", "why", err.Error())
		return windlass.Respond(403, "api_key_rejected"), nil
	}
	provide(request, key)
	filter.hide(request)
	return windlass.Next(windlass.SkipBody), nil
}

// presented is the key as the client sent it, or empty.
func (filter *Filter) presented(request *windlass.Request) (key string) {
	if filter.inQuery {
		key, _ = request.QueryParam(filter.name)
	} else {
		key, _ = request.Header(filter.name)
	}
	return key
}

func provide(request *windlass.Request, key *windlass.APIKey) {
	must(request.SetAttributes(windlass.Text("consumer.id", key.Consumer)))
	must(request.SetAttributes(windlass.Text("api-key.id", key.ID)))
	must(request.SetAttributes(windlass.Text("auth.method", "api-key")))
	if key.Plan != "" {
		must(request.SetAttributes(windlass.Text("plan.id", key.Plan)))
	}
	for name, value := range key.Attributes {
		// An attribute must not replace the key's own id.
		if name != "id" {
			must(request.SetAttributes(windlass.Text("api-key."+name, value)))
		}
	}
}

// hide removes the key from the request.
func (filter *Filter) hide(request *windlass.Request) {
	if !filter.inQuery {
		_, err := request.RemoveHeader(filter.name)
		must(err)
		return
	}
	path := request.Path()
	if edited := queryWithout(path, filter.name); edited != path {
		must(request.SetPath(edited))
	}
}

// must panics if the gateway refuses an edit. Other filters return the error.
func must(err error) {
	if err != nil {
		panic("an edit was refused: " + err.Error())
	}
}

// challenge is that of a 401 (RFC 9110, section 11.6.1), named as OpenAPI names API keys.
func (filter *Filter) challenge() string {
	place := "header"
	if filter.inQuery {
		place = "query"
	}
	name := strings.Map(func(letter rune) rune {
		if letter < ' ' || letter == 0x7f {
			return ' '
		}
		return letter
	}, filter.name)
	name = strings.ReplaceAll(strings.ReplaceAll(name, `\`, `\\`), `"`, `\"`)
	return `ApiKey in="` + place + `", name="` + name + `"`
}

// isFieldName follows RFC 9110, section 5.6.2.
func isFieldName(name string) bool {
	for _, letter := range name {
		isLetter := letter|0x20 >= 'a' && letter|0x20 <= 'z'
		isDigit := letter >= '0' && letter <= '9'
		if !isLetter && !isDigit && !strings.ContainsRune("!#$%&'*+-.^_`|~", letter) {
			return false
		}
	}
	return name != ""
}
