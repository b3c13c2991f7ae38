// Package memory says when garbage is collected.
package memory

import (
	"runtime"
	"runtime/debug"

	witRuntime "go.bytecodealliance.org/pkg/wit/runtime"
)

// collectEvery is how many calls may leave their garbage before it is collected.
const collectEvery = 500

var calls uint

func init() {
	// The collector must not start inside `cabi_realloc`, where a component may not call out and
	// Go would ask for the time. So it is off, and runs where Tidy asks for it.
	debug.SetGCPercent(-1)
}

// Tidy frees what earlier calls left. Called first in an exported function, and nowhere else.
func Tidy() {
	// What imports returned stays pinned until this: the bindings unpin only in exports that
	// take arguments.
	witRuntime.Unpin()
	calls++
	if calls%collectEvery == 0 {
		runtime.GC()
	}
}
