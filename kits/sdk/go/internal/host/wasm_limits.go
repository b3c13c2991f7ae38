//go:build wasip1

package host

import (
	"runtime"
	"unsafe"
)

// levelAt is `option<level>`.
func levelAt(offset uintptr) *Level {
	if at8(offset) == 0 {
		return nil
	}
	return &Level{at64(offset + 8), at64(offset + 16), at64(offset + 24), at64(offset + 32)}
}

func decisionAt(offset uintptr) Decision {
	decision := Decision{
		Allowed:    at8(offset) != 0,
		RetryAfter: at64(offset + 8),
		Rate:       levelAt(offset + 16),
		Quota:      levelAt(offset + 56),
		Ticket:     at64(offset + 96),
	}
	if at8(offset+1) != 0 {
		decision.RefusedBy = LimitBound(at8(offset+2)) + 1
	}
	return decision
}

//go:wasmimport windlass:host/limits@0.1.0 charge
//go:noescape
func importCharge(named uint32, plan string, cost uint64, result unsafe.Pointer)

func Charge(plan string, cost uint64) (Decision, error) {
	importCharge(flag(plan != ""), plan, cost, area())
	if at8(0) != 0 {
		return Decision{}, Uncharged(at8(8))
	}
	return decisionAt(8), nil
}

//go:wasmimport windlass:host/limits@0.1.0 take
//go:noescape
func importTake(plan, key string, cost uint64, result unsafe.Pointer)

func Take(plan, key string, cost uint64) (Decision, bool) {
	importTake(plan, key, cost, area())
	if at8(0) == 0 {
		return Decision{}, false
	}
	return decisionAt(8), true
}

//go:wasmimport windlass:host/limits@0.1.0 take-inline
//go:noescape
func importTakeInline(key string, cost, capacity uint64, refill float64, result unsafe.Pointer)

func TakeInline(key string, cost, capacity uint64, refill float64) Decision {
	importTakeInline(key, cost, capacity, refill, area())
	return decisionAt(0)
}

//go:wasmimport windlass:host/limits@0.1.0 give-back
func importGiveBack(ticket uint64)

func GiveBack(ticket uint64) {
	importGiveBack(ticket)
}

//go:wasmimport windlass:host/limits@0.1.0 standing
//go:noescape
func importStanding(result unsafe.Pointer)

func Standing() (rate, quota *Level, asked bool) {
	importStanding(area())
	if at8(0) == 0 {
		return nil, nil, false
	}
	return levelAt(8), levelAt(48), true
}

// loweredBound is `bound` of `rates`.
type loweredBound struct {
	name      pair
	source    uint32
	by        pair
	missing   uint8
	algorithm uint8
	limit     uint64
	window    uint64
	burst     uint64
	shadow    uint64
}

//go:wasmimport windlass:host/rates@0.1.0 define
//go:noescape
func importRatesDefine(bounds unsafe.Pointer, count uint32)

func DefineRates(bounds []Bound) {
	list := make([]loweredBound, len(bounds))
	for index, bound := range bounds {
		by := lowered(bound.By.Name)
		if bound.By.Kind == ClientAddress {
			by = pair{pointer: uint32(bound.By.IPv4) | uint32(bound.By.IPv6)<<8}
		}
		list[index] = loweredBound{
			name:      lowered(bound.Name),
			source:    uint32(bound.By.Kind),
			by:        by,
			missing:   uint8(bound.Missing),
			algorithm: uint8(bound.Algorithm),
			limit:     bound.Limit,
			window:    bound.Window,
			burst:     bound.Burst,
			shadow:    uint64(flag(bound.Shadow)),
		}
	}
	pointer, count := listOf(list)
	importRatesDefine(pointer, count)
	runtime.KeepAlive(bounds)
}

//go:wasmimport windlass:host/rates@0.1.0 take
//go:noescape
func importRatesTake(cost uint64, result unsafe.Pointer)

func TakeRates(cost uint64) RateDecision {
	importRatesTake(cost, area())
	return RateDecision{RateOutcome(at8(0)), at32(4), at32(8), at64(16)}
}

//go:wasmimport windlass:host/rates@0.1.0 standing
//go:noescape
func importRatesStanding(result unsafe.Pointer)

func RatesStanding() []RateLevel {
	importRatesStanding(begin())
	defer end()
	list := atPair(0)
	if list.length == 0 {
		return nil
	}
	words := unsafe.Slice((*[5]uint64)(unsafe.Pointer(uintptr(list.pointer))), list.length)
	levels := make([]RateLevel, len(words))
	for index, word := range words {
		levels[index] = RateLevel{uint32(word[0]), Level{word[1], word[2], word[3], word[4]}}
	}
	return levels
}
