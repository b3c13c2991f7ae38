// Package windlass is the kit for Windlass plugins in Go.
//
// A plugin is a package with a type Filter that has the methods of Plugin, and those of the phases that its world
// (`wit/world.wit`) exports: OnRequest for `request-phase`, and so on. `windlass plugin build` writes the rest.
//
// An instance serves one call at a time, and the phases of one exchange may run in different instances. So a field of
// Filter is for what Configure made of the settings, and a note is for what one phase leaves to the next.
package windlass

import "time"

// Plugin is what every filter has.
type Plugin interface {
	// Describe gives the static facts of the plugin.
	Describe() Info
	// Configure reads the settings, once in each instance, and declares what the filter needs.
	Configure(settings *Settings, setup *Setup)
}

// RequestFilter has a request phase: it runs on the request's head. An error fails the phase: its edits are undone, the
// log says why, and the operator's `on_error` decides which response the client gets.
type RequestFilter interface {
	OnRequest(request *Request) (RequestVerdict, error)
}

// RequestBodyFilter has a phase for the request's body. It runs if the verdict on the head asked for it.
type RequestBodyFilter interface {
	OnRequestBody(request *Request, chunk *Chunk) (BodyVerdict, error)
}

// ResponseFilter has a response phase: it runs on the response's head, also that of a refusal or of an error.
type ResponseFilter interface {
	OnResponse(response *Response) (ResponseVerdict, error)
}

// ResponseBodyFilter has a phase for the response's body. It runs if the verdict on the head asked for it.
type ResponseBodyFilter interface {
	OnResponseBody(response *Response, chunk *Chunk) (BodyVerdict, error)
}

// LogFilter has a log phase: it runs after the exchange. How it ended is in the attributes `outcome.*`.
type LogFilter interface {
	OnLog(response *Response)
}

// Contributor adds to the description of the APIs that use the filter: it returns parts of OpenAPI 3.1, as JSON.
type Contributor interface {
	Contribute() string
}

// Info has the static facts of a plugin.
type Info struct {
	// Name, Version and Summary are shown by `windlass check`.
	Name, Version, Summary string
	// SettingsSchema is the JSON Schema (2020-12) of the settings, for editors. Configure decides, not this.
	SettingsSchema string
}

// Diagnostic is an error in the settings.
type Diagnostic struct {
	// At is a JSON pointer into the settings (RFC 6901), such as `/keep/0`; `documents/NAME` for a document.
	At string
	// Message says what is wrong and how to correct it: lower case, no period.
	Message string
}

func milliseconds(duration time.Duration) uint64 {
	return uint64(max(duration.Milliseconds(), 0))
}
