//go:build wasip1

package host

import "unsafe"

// The gateway asks `cabi_realloc` for the memory of what it gives to the filter. It may do so while Go's runtime is not
// initialised yet, and while an import runs, when the component may not call out. So this memory is not the
// collector's, and there is no need to pin anything or to turn the collector off.
//
// What an import returns is copied into Go's heap at once, so the same block serves every call. All other memory (the
// state of the WASI adapter, the settings) is never freed.
var (
	firstBlock [32 << 10]byte
	// The block for what imports return.
	block, blockSize, blockUsed uintptr
	// Whether an import runs whose result is copied right after it.
	inCall bool
	// The buffer that the result goes into, if its size is known before.
	target, targetSize uintptr
	// The rest of the memory that is never freed.
	kept, keptSize uintptr
)

//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if oldSize != 0 {
		trap()
	}
	need := uintptr(size)
	if inCall {
		if need <= targetSize {
			at := target
			targetSize = 0
			return unsafe.Pointer(at)
		}
		return takeFromBlock(need, uintptr(align))
	}
	at := (kept + uintptr(align) - 1) &^ (uintptr(align) - 1)
	if at+need > kept+keptSize {
		at = grow(need)
		kept, keptSize = at, (need+pageSize-1)&^(pageSize-1)
	}
	keptSize -= at + need - kept
	kept = at + need
	return unsafe.Pointer(at)
}

const pageSize = 64 << 10

func takeFromBlock(need, align uintptr) unsafe.Pointer {
	if block == 0 {
		block, blockSize = uintptr(unsafe.Pointer(&firstBlock)), unsafe.Sizeof(firstBlock)
	}
	at := (block + blockUsed + align - 1) &^ (align - 1)
	if at+need > block+blockSize {
		// What is in the old block stays until the call has ended. The new one is twice as large: so all old ones
		// together are no larger than the new one.
		blockSize = max(need, 2*blockSize)
		block = grow(blockSize)
		at = block
	}
	blockUsed = at + need - block
	return unsafe.Pointer(at)
}

func grow(size uintptr) uintptr {
	at := sbrk(size)
	if at == nil {
		// The instance's memory is used up.
		trap()
	}
	return uintptr(at)
}

// trap ends the call. The gateway undoes its edits and discards the instance.
func trap()

// Trap ends the call as a trap.
func Trap() {
	trap()
}

// results is where the gateway writes the result of an import.
var results [16]uint64

func area() unsafe.Pointer {
	return unsafe.Pointer(&results)
}

// begin is called before an import that returns more than numbers, and end when its result was copied.
func begin() unsafe.Pointer {
	blockUsed = 0
	targetSize = 0
	inCall = true
	return area()
}

func end() {
	inCall = false
}

func at8(offset uintptr) uint8 {
	return *(*uint8)(unsafe.Add(area(), offset))
}

func at16(offset uintptr) uint16 {
	return *(*uint16)(unsafe.Add(area(), offset))
}

func at32(offset uintptr) uint32 {
	return *(*uint32)(unsafe.Add(area(), offset))
}

func at64(offset uintptr) uint64 {
	return *(*uint64)(unsafe.Add(area(), offset))
}

func atFloat(offset uintptr) float64 {
	return *(*float64)(unsafe.Add(area(), offset))
}

// pair is a text or a list in memory.
type pair struct {
	pointer, length uint32
}

func atPair(offset uintptr) pair {
	return *(*pair)(unsafe.Add(area(), offset))
}

// view is the memory itself: valid until the next import.
func (value pair) view() []byte {
	if value.length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(value.pointer))), value.length)
}

func (value pair) text() string {
	return string(value.view())
}

func (value pair) bytes() []byte {
	if value.length == 0 {
		return []byte{}
	}
	return append([]byte(nil), value.view()...)
}

// pairs are the elements of a list, each of so many pairs.
func (value pair) pairs(each uint32) []pair {
	if value.length == 0 {
		return nil
	}
	return unsafe.Slice((*pair)(unsafe.Pointer(uintptr(value.pointer))), value.length*each)
}

func (value pair) fields() []Field {
	list := value.pairs(2)
	fields := make([]Field, value.length)
	for index := range fields {
		fields[index] = Field{Name: list[2*index].text(), Value: list[2*index+1].text()}
	}
	return fields
}

func (value pair) texts() []string {
	list := value.pairs(1)
	texts := make([]string, len(list))
	for index, text := range list {
		texts[index] = text.text()
	}
	return texts
}

// escaped makes the compiler put a text on the heap: the stack may move before the gateway reads the address.
var escaped *byte

// lowered is the address of a text, for a list that the gateway reads. The text must be kept alive until then.
func lowered(text string) pair {
	escaped = unsafe.StringData(text)
	return pair{uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint32(len(text))}
}

func listOf[T any](list []T) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(list)), uint32(len(list))
}

func loweredTexts(texts []string) []pair {
	list := make([]pair, len(texts))
	for index, text := range texts {
		list[index] = lowered(text)
	}
	return list
}

func loweredFields(fields []Field) []pair {
	list := make([]pair, 0, 2*len(fields))
	for _, field := range fields {
		list = append(list, lowered(field.Name), lowered(field.Value))
	}
	return list
}

func flag(value bool) uint32 {
	if value {
		return 1
	}
	return 0
}

// viewed gives bytes as a text, without a copy.
func viewed(bytes []byte) string {
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}

// edited is the error of a result `result<_, edit-error>`, which costs nothing if there is none.
func edited(edit, name string) error {
	if at8(0) == 0 {
		return nil
	}
	return &EditError{Edit: edit, Name: name, Reason: EditReason(at8(1))}
}
