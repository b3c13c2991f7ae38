// Package memory decides when garbage is collected.
package memory

import (
	"runtime"
	"runtime/debug"

	witRuntime "go.bytecodealliance.org/pkg/wit/runtime"
)

// collectEvery is the number of calls between two collections.
const collectEvery = 500

var calls uint

func init() {
	// The collector must not start inside `cabi_realloc`: there a component may not call out, and
	// Go would ask for the time. So it is off, and Tidy runs it.
	debug.SetGCPercent(-1)
}

// Tidy frees the memory of earlier calls. Exported functions must call it first, and nothing else may.
func Tidy() {
	// Values that imports returned stay pinned until this call: the bindings unpin only in exports
	// that take arguments.
	witRuntime.Unpin()
	calls++
	if calls%collectEvery == 0 {
		runtime.GC()
	}
}
