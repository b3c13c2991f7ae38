package windlass

import "windlass/internal/host"

// What follows is for the packages `export` and `windlasstest`, which call the phases. Filters do not need it.

// BodyModeOf is the mode as the contract numbers it: 0 skip, 1 chunks, 2 whole.
func BodyModeOf(mode BodyMode) (kind uint8, max uint64) { return mode.kind, mode.max }

// ModeOf is the body mode of a verdict.
func ModeOf(next *HeadNext) BodyMode { return next.mode }

// HintOf has the parts of a route's verdict.
func HintOf(route *HeadRoute) (*Hint, BodyMode) { return &route.hint, route.mode }

// TagOf is the step as the contract numbers it: 0 next, 1 more, 2 done.
func TagOf(step *BodyStep) uint8 { return step.tag }

// EachSeries calls a function for each declared series.
func EachSeries(setup *Setup, each func(kind uint8, name string, labels []string)) {
	for _, series := range setup.series {
		each(series.kind, series.name, series.labels)
	}
}

// TheRequest and TheResponse are the handles of the exchange.
func TheRequest() *Request   { return request }
func TheResponse() *Response { return response }

// ChunkOf is the chunk of a body phase.
func ChunkOf(length uint64, last bool) Chunk { return Chunk{length, last} }

// AttributeOf is any attribute.
func AttributeOf(name string) (host.AttributeValue, bool) { return host.GetAttribute(name) }
