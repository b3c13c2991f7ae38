//go:build wasip1

package export

import (
	"runtime"
	"strconv"
	"strings"
)

// describe is the text of a panic: a line with its message and place, and a line for each function above it. Without
// package fmt, which would add half a megabyte.
func describe(panicked any) string {
	var counters [64]uintptr
	count := runtime.Callers(2, counters[:])
	frames := runtime.CallersFrames(counters[:count])
	var stack []string
	for more := count > 0; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, "windlass/export."):
			// Those below the panic are the kit's own, and so is the one that called the plugin.
			more = more && len(stack) == 0
		case strings.HasPrefix(frame.Function, "runtime.") && len(stack) == 0:
		default:
			stack = append(stack, frame.Function+" ("+frame.File+":"+strconv.Itoa(frame.Line)+")")
		}
	}
	text := "panic: " + message(panicked)
	if len(stack) > 0 {
		text += ", in " + strings.Join(stack, "\n  called by ")
	}
	return text + "\n"
}

func message(panicked any) string {
	switch panicked := panicked.(type) {
	case error:
		return panicked.Error()
	case interface{ String() string }:
		return panicked.String()
	case string:
		return panicked
	case int:
		return strconv.Itoa(panicked)
	default:
		return "a value that is neither a text nor an error"
	}
}
