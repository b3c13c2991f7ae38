// The module name that `wit-bindgen go` writes into the bindings that it generates beside this.
module wit_component

go 1.27.1

require go.bytecodealliance.org/pkg v0.4.0

// The run-time part of the bindings, as the crate `wit-bindgen-go` 0.63.0 ships it.
replace go.bytecodealliance.org/pkg => ./third_party/pkg
