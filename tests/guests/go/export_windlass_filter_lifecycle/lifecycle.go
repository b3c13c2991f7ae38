// Package export_windlass_filter_lifecycle implements `windlass:filter/lifecycle`.
package export_windlass_filter_lifecycle

import (
	. "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/filter"
	. "wit_component/windlass_filter_lifecycle"
)

const settingsSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",` +
	`"properties":{` +
	`"header":{"type":"string","description":"The header that holds the key."},` +
	`"query":{"type":"string","description":"The query parameter that holds the key."}},` +
	`"additionalProperties":false}`

// Describe gives the static facts of the plugin.
func Describe() PluginInfo {
	return PluginInfo{
		Name:           "api-key-go",
		Version:        "0.1.0",
		SettingsSchema: Some(settingsSchema),
		Summary:        "finds the consumer by an API key (in Go)",
	}
}

// Configure keeps the settings.
func Configure(settings string) Result[Setup, []Diagnostic] {
	source, complaints := filter.ReadSettings(settings)
	if len(complaints) > 0 {
		diagnostics := make([]Diagnostic, len(complaints))
		for i, complaint := range complaints {
			diagnostics[i] = Diagnostic{At: complaint.At, Message: complaint.Message}
		}
		return Err[Setup](diagnostics)
	}
	filter.Configured = source
	return Ok[Setup, []Diagnostic](Setup{
		Provides:  []string{"consumer.id", "api-key.id", "auth.method"},
		Sometimes: []string{"plan.id"},
	})
}
