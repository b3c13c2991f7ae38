// Package filter lets only listed teams pass, and counts the bytes of their request bodies.
package filter

import (
	_ "embed"
	"slices"
	"strconv"

	"windlass"
)

//go:embed settings.schema.json
var schema string

// Filter is one instance of the plugin. Its fields are what Configure made of the settings.
type Filter struct {
	header string
	allow  []string
}

func (filter *Filter) Describe() windlass.Info {
	return windlass.Info{
		Name:           "{{name}}",
		Version:        "0.1.0",
		Summary:        "lets only listed teams pass",
		SettingsSchema: schema,
	}
}

func (filter *Filter) Configure(settings *windlass.Settings, setup *windlass.Setup) {
	filter.header = settings.Text("header", "x-team")
	filter.allow = settings.Texts("allow")
	if len(filter.allow) == 0 {
		settings.Refuse("/allow", "name at least one team")
	}
}

func (filter *Filter) OnRequest(request *windlass.Request) (windlass.RequestVerdict, error) {
	team, found := request.Header(filter.header)
	if !found {
		return windlass.Respond(401, "team_missing"), nil
	}
	if !slices.Contains(filter.allow, team) {
		windlass.Log.Info("the team is not in `allow`", "team", team)
		return windlass.Respond(403, "team_unknown"), nil
	}
	return windlass.Next(windlass.Chunks), request.SetHeader("x-checked-by", "{{name}}")
}

func (filter *Filter) OnRequestBody(request *windlass.Request, chunk *windlass.Chunk) (windlass.BodyVerdict, error) {
	before, _ := request.Note("bytes")
	bytes, _ := strconv.Atoi(before)
	return windlass.NextChunk, request.SetNote("bytes", strconv.Itoa(bytes+chunk.Len()))
}

func (filter *Filter) OnResponse(response *windlass.Response) (windlass.ResponseVerdict, error) {
	if bytes, found := response.Note("bytes"); found {
		return windlass.Next(windlass.SkipBody), response.SetHeader("x-request-bytes", bytes)
	}
	return windlass.Next(windlass.SkipBody), nil
}
