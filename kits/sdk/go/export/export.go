//go:build wasip1

// Package export calls a plugin's phases for the gateway. `windlass plugin build` writes the exports that use it.
package export

import (
	"runtime/debug"
	"unsafe"

	"windlass"
	"windlass/internal/host"
)

func init() {
	// The live heap is small: without this, the runtime lets it grow to 4 MiB before it collects.
	debug.SetGCPercent(50)
}

// The result of the last call, and what it points to: the gateway reads it after the call has returned.
var (
	result [8]uint64
	alive  [4]any
)

type pair struct{ pointer, length uint32 }

func word(offset uintptr) *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(&result), offset))
}

func text(text string) pair {
	return pair{address(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

func address(pointer unsafe.Pointer) uint32 {
	return uint32(uintptr(pointer))
}

func put(offset uintptr, value pair) {
	*word(offset), *word(offset + 4) = value.pointer, value.length
}

// returned is the address of the result.
func returned() uint32 {
	return address(unsafe.Pointer(&result))
}

// guard ends the call as a trap if it panics, so that nothing half-done is kept. The log has the panic with its place.
func guard() {
	if panicked := recover(); panicked != nil {
		crash(panicked)
	}
}

// Describe is `describe`.
func Describe(plugin windlass.Plugin) uint32 {
	defer guard()
	info := plugin.Describe()
	alive[0] = &info
	put(0, text(info.Name))
	put(8, text(info.Version))
	*word(16) = 0
	if info.SettingsSchema != "" {
		*word(16) = 1
		put(20, text(info.SettingsSchema))
	}
	put(28, text(info.Summary))
	return returned()
}

// Configure is `configure`.
func Configure(plugin windlass.Plugin, settings unsafe.Pointer, length uint32) uint32 {
	defer guard()
	setup, problems := windlass.Configure(plugin, string(unsafe.Slice((*byte)(settings), length)))
	if len(problems) > 0 {
		list := make([]pair, 0, 2*len(problems))
		for _, problem := range problems {
			list = append(list, text(problem.At), text(problem.Message))
		}
		alive[0], alive[1] = problems, list
		*word(0) = 1
		put(4, pair{address(unsafe.Pointer(unsafe.SliceData(list))), uint32(len(problems))})
		return returned()
	}
	alive[0] = setup
	*word(0) = 0
	put(4, texts(1, setup.Provides))
	put(12, texts(2, setup.Sometimes))
	put(20, texts(3, setup.Requires))
	put(28, series(setup))
	return returned()
}

func texts(slot int, list []string) pair {
	lowered := make([]pair, len(list))
	for index, item := range list {
		lowered[index] = text(item)
	}
	alive[slot] = lowered
	return pair{address(unsafe.Pointer(unsafe.SliceData(lowered))), uint32(len(list))}
}

// loweredSeries is `series`.
type loweredSeries struct {
	kind         uint32
	name, labels pair
}

// The series of the setup, which are kept like the instance itself.
var kept struct {
	series []loweredSeries
	labels [][]pair
}

func series(setup *windlass.Setup) pair {
	windlass.EachSeries(setup, func(kind uint8, name string, labels []string) {
		lowered := make([]pair, len(labels))
		for index, label := range labels {
			lowered[index] = text(label)
		}
		kept.labels = append(kept.labels, lowered)
		list := pair{address(unsafe.Pointer(unsafe.SliceData(lowered))), uint32(len(lowered))}
		kept.series = append(kept.series, loweredSeries{uint32(kind), text(name), list})
	})
	return pair{address(unsafe.Pointer(unsafe.SliceData(kept.series))), uint32(len(kept.series))}
}

// Contribute is `contribute`.
func Contribute(plugin windlass.Contributor) uint32 {
	defer guard()
	contribution := plugin.Contribute()
	alive[0] = &contribution
	put(0, text(contribution))
	return returned()
}

// OnRequest is `on-request`.
func OnRequest(plugin windlass.RequestFilter) uint32 {
	defer guard()
	verdict, err := plugin.OnRequest(windlass.TheRequest())
	if err != nil {
		return failed(8, 2, err)
	}
	switch verdict := verdict.(type) {
	case *windlass.HeadNext:
		return next(windlass.ModeOf(verdict))
	case *windlass.HeadRoute:
		return routed(verdict)
	case *windlass.LocalResponse:
		return respond(8, 2, verdict)
	default:
		return failed(8, 2, noVerdict)
	}
}

// OnResponse is `on-response`.
func OnResponse(plugin windlass.ResponseFilter) uint32 {
	defer guard()
	verdict, err := plugin.OnResponse(windlass.TheResponse())
	if err != nil {
		return failed(8, 1, err)
	}
	switch verdict := verdict.(type) {
	case *windlass.HeadNext:
		return next(windlass.ModeOf(verdict))
	case *windlass.LocalResponse:
		return respond(8, 1, verdict)
	default:
		return failed(8, 1, noVerdict)
	}
}

// OnRequestBody is `on-request-body`.
func OnRequestBody(plugin windlass.RequestBodyFilter, length uint64, last uint32) uint32 {
	defer guard()
	chunk := windlass.ChunkOf(length, last != 0)
	return step(plugin.OnRequestBody(windlass.TheRequest(), &chunk))
}

// OnResponseBody is `on-response-body`.
func OnResponseBody(plugin windlass.ResponseBodyFilter, length uint64, last uint32) uint32 {
	defer guard()
	chunk := windlass.ChunkOf(length, last != 0)
	return step(plugin.OnResponseBody(windlass.TheResponse(), &chunk))
}

// OnLog is `on-log`.
func OnLog(plugin windlass.LogFilter) {
	defer guard()
	plugin.OnLog(windlass.TheResponse())
}

type noVerdictError struct{}

func (noVerdictError) Error() string {
	return "the phase returned nil; return a verdict, such as `windlass.Next(windlass.SkipBody)`"
}

var noVerdict error = noVerdictError{}

func step(verdict windlass.BodyVerdict, err error) uint32 {
	if err != nil {
		return failed(4, 3, err)
	}
	switch verdict := verdict.(type) {
	case *windlass.BodyStep:
		*word(0) = uint32(windlass.TagOf(verdict))
		return returned()
	case *windlass.LocalResponse:
		return respond(4, 3, verdict)
	default:
		return failed(4, 3, noVerdict)
	}
}

func mode(offset uintptr, mode windlass.BodyMode) {
	kind, most := windlass.BodyModeOf(mode)
	*word(offset) = uint32(kind)
	result[(offset+8)/8] = most
}

func next(body windlass.BodyMode) uint32 {
	*word(0) = 0
	mode(8, body)
	return returned()
}

func routed(route *windlass.HeadRoute) uint32 {
	hint, body := windlass.HintOf(route)
	*word(0) = 1
	optional(8, hint.Upstream)
	labels := make([]pair, 0, 2*len(hint.Labels))
	for name, value := range hint.Labels {
		labels = append(labels, text(name), text(value))
	}
	put(20, pair{address(unsafe.Pointer(unsafe.SliceData(labels))), uint32(len(hint.Labels))})
	optional(28, hint.Affinity)
	*word(40) = 0
	if hint.Timeout > 0 {
		*word(40), *word(44) = 1, uint32(min(max(hint.Timeout.Milliseconds(), 1), 1<<32-1))
	}
	mode(48, body)
	alive[0], alive[1] = hint, labels
	return returned()
}

func optional(offset uintptr, value string) {
	*word(offset) = 0
	if value != "" {
		*word(offset) = 1
		put(offset+4, text(value))
	}
}

// respond writes the verdict with this tag, whose payload is at the offset.
func respond(offset uintptr, tag uint32, response *windlass.LocalResponse) uint32 {
	*word(0) = tag
	// A status that no `u16` holds is one that the gateway refuses: 0.
	*word(offset) = 0
	if 0 <= response.Status && response.Status < 1000 {
		*word(offset) = uint32(response.Status)
	}
	headers := make([]pair, 0, 2*len(response.Fields))
	for _, field := range response.Fields {
		headers = append(headers, text(field.Name), text(field.Value))
	}
	put(offset+4, pair{address(unsafe.Pointer(unsafe.SliceData(headers))), uint32(len(response.Fields))})
	put(offset+12, pair{address(unsafe.Pointer(unsafe.SliceData(response.Body))), uint32(len(response.Body))})
	put(offset+20, text(response.Reason))
	alive[0], alive[1] = response, headers
	return returned()
}

// failed says that the filter could not do its work: the gateway undoes the phase's edits and logs the reason.
func failed(offset uintptr, tag uint32, err error) uint32 {
	return respond(offset, tag, &windlass.LocalResponse{
		Status: 500,
		Reason: "filter_failed",
		Body:   []byte(err.Error()),
	})
}

func crash(panicked any) {
	host.Print(describe(panicked))
	host.Trap()
}
