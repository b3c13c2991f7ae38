//go:build wasip1

package host

import (
	"runtime"
	"unsafe"
)

//go:wasmimport windlass:host/exchange@0.1.0 method
//go:noescape
func importMethod(result unsafe.Pointer)

// Method is the request's method.
func Method() string {
	importMethod(begin())
	defer end()
	return atPair(0).text()
}

//go:wasmimport windlass:host/exchange@0.1.0 scheme
//go:noescape
func importScheme(result unsafe.Pointer)

func Scheme() string {
	importScheme(begin())
	defer end()
	return atPair(0).text()
}

//go:wasmimport windlass:host/exchange@0.1.0 authority
//go:noescape
func importAuthority(result unsafe.Pointer)

func Authority() string {
	importAuthority(begin())
	defer end()
	return atPair(0).text()
}

//go:wasmimport windlass:host/exchange@0.1.0 path
//go:noescape
func importPath(result unsafe.Pointer)

func Path() string {
	importPath(begin())
	defer end()
	return atPair(0).text()
}

//go:wasmimport windlass:host/exchange@0.1.0 original-path
//go:noescape
func importOriginalPath(result unsafe.Pointer)

func OriginalPath() string {
	importOriginalPath(begin())
	defer end()
	return atPair(0).text()
}

// optional is the result `option<string>` or `option<list<u8>>`.
func optional() (string, bool) {
	defer end()
	if at8(0) == 0 {
		return "", false
	}
	return atPair(4).text(), true
}

//go:wasmimport windlass:host/exchange@0.1.0 path-param
//go:noescape
func importPathParam(name string, result unsafe.Pointer)

func PathParam(name string) (string, bool) {
	importPathParam(name, begin())
	return optional()
}

//go:wasmimport windlass:host/exchange@0.1.0 query-param
//go:noescape
func importQueryParam(name string, result unsafe.Pointer)

func QueryParam(name string) (string, bool) {
	importQueryParam(name, begin())
	return optional()
}

//go:wasmimport windlass:host/raw-params@0.1.0 path-param
//go:noescape
func importRawPathParam(name string, result unsafe.Pointer)

func RawPathParam(name string) (string, bool) {
	importRawPathParam(name, begin())
	return optional()
}

//go:wasmimport windlass:host/raw-params@0.1.0 query-param
//go:noescape
func importRawQueryParam(name string, result unsafe.Pointer)

func RawQueryParam(name string) (string, bool) {
	importRawQueryParam(name, begin())
	return optional()
}

//go:wasmimport windlass:host/exchange@0.1.0 set-method
//go:noescape
func importSetMethod(method string, result unsafe.Pointer)

func SetMethod(method string) error {
	importSetMethod(method, area())
	return edited("set the method", method)
}

//go:wasmimport windlass:host/exchange@0.1.0 set-path
//go:noescape
func importSetPath(path string, result unsafe.Pointer)

func SetPath(path string) error {
	importSetPath(path, area())
	return edited("set the path", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 set-authority
//go:noescape
func importSetAuthority(authority string, result unsafe.Pointer)

func SetAuthority(authority string) error {
	importSetAuthority(authority, area())
	return edited("set the authority", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 status
//go:noescape
func importStatus(result unsafe.Pointer)

func Status() (int, bool) {
	importStatus(area())
	return int(at16(2)), at8(0) != 0
}

//go:wasmimport windlass:host/exchange@0.1.0 set-status
//go:noescape
func importSetStatus(status uint32, result unsafe.Pointer)

func SetStatus(status int) error {
	if status < 0 || status > 999 {
		return &EditError{Edit: "set the status", Reason: Syntax}
	}
	importSetStatus(uint32(status), area())
	return edited("set the status", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 header
//go:noescape
func importHeader(of Message, name string, result unsafe.Pointer)

func Header(of Message, name string) (string, bool) {
	importHeader(of, name, begin())
	return optional()
}

//go:wasmimport windlass:host/exchange@0.1.0 header-all
//go:noescape
func importHeaderAll(of Message, name string, result unsafe.Pointer)

func HeaderAll(of Message, name string) []string {
	importHeaderAll(of, name, begin())
	defer end()
	return atPair(0).texts()
}

//go:wasmimport windlass:host/exchange@0.1.0 header-many
//go:noescape
func importHeaderMany(of Message, names unsafe.Pointer, count uint32, result unsafe.Pointer)

// HeaderMany writes the first value of each name into values. A value that is absent becomes nil.
func HeaderMany(of Message, names []string, values []*string) {
	list, count := listOf(loweredTexts(names))
	importHeaderMany(of, list, count, begin())
	defer end()
	runtime.KeepAlive(names)
	// `option<list<u8>>` has three words.
	words := atPair(0)
	options := unsafe.Slice((*[3]uint32)(unsafe.Pointer(uintptr(words.pointer))), words.length)
	for index, option := range options {
		values[index] = nil
		if option[0]&0xff != 0 {
			value := pair{option[1], option[2]}.text()
			values[index] = &value
		}
	}
}

//go:wasmimport windlass:host/exchange@0.1.0 headers-packed
//go:noescape
func importHeadersPacked(of Message, result unsafe.Pointer)

func Headers(of Message) []Field {
	importHeadersPacked(of, begin())
	defer end()
	// One copy for all; the fields are parts of it.
	packed := atPair(0).text()
	var fields []Field
	for len(packed) >= 6 {
		name := int(packed[0]) | int(packed[1])<<8
		value := int(packed[2]) | int(packed[3])<<8 | int(packed[4])<<16 | int(packed[5])<<24
		packed = packed[6:]
		fields = append(fields, Field{Name: packed[:name], Value: packed[name : name+value]})
		packed = packed[name+value:]
	}
	return fields
}

//go:wasmimport windlass:host/exchange@0.1.0 set-header
//go:noescape
func importSetHeader(of Message, name, value string, result unsafe.Pointer)

func SetHeader(of Message, name, value string) error {
	importSetHeader(of, name, value, area())
	return edited("set the field", name)
}

//go:wasmimport windlass:host/exchange@0.1.0 set-headers
//go:noescape
func importSetHeaders(of Message, fields unsafe.Pointer, count uint32, result unsafe.Pointer)

func SetHeaders(of Message, fields []Field) error {
	list := loweredFields(fields)
	importSetHeaders(of, unsafe.Pointer(unsafe.SliceData(list)), uint32(len(fields)), area())
	runtime.KeepAlive(fields)
	return edited("set several fields", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 append-header
//go:noescape
func importAppendHeader(of Message, name, value string, result unsafe.Pointer)

func AppendHeader(of Message, name, value string) error {
	importAppendHeader(of, name, value, area())
	return edited("append to the field", name)
}

//go:wasmimport windlass:host/exchange@0.1.0 remove-header
//go:noescape
func importRemoveHeader(of Message, name string, result unsafe.Pointer)

func RemoveHeader(of Message, name string) (int, error) {
	importRemoveHeader(of, name, area())
	if at8(0) == 0 {
		return int(at32(4)), nil
	}
	return 0, &EditError{Edit: "remove the field", Name: name, Reason: EditReason(at8(4))}
}

//go:wasmimport windlass:host/exchange@0.1.0 read-piece
//go:noescape
func importReadPiece(offset uint64, length uint32, result unsafe.Pointer)

// ReadPiece reads a part of the chunk into a buffer, and returns the number of bytes.
func ReadPiece(offset uint64, buffer []byte) int {
	if len(buffer) == 0 {
		return 0
	}
	result := begin()
	defer end()
	target, targetSize = uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer))
	// The gateway writes into the buffer: it must not be on the stack, which may move.
	escaped = unsafe.SliceData(buffer)
	importReadPiece(offset, uint32(len(buffer)), result)
	read := atPair(0)
	if uintptr(read.pointer) != uintptr(unsafe.Pointer(unsafe.SliceData(buffer))) {
		copy(buffer, read.view())
	}
	return int(read.length)
}

//go:wasmimport windlass:host/exchange@0.1.0 replace-piece
//go:noescape
func importReplacePiece(bytes string, result unsafe.Pointer)

func ReplacePiece(bytes []byte) error {
	importReplacePiece(viewed(bytes), area())
	return edited("replace the chunk", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 prepend-piece
//go:noescape
func importPrependPiece(bytes string, result unsafe.Pointer)

func PrependPiece(bytes []byte) error {
	importPrependPiece(viewed(bytes), area())
	return edited("add to the chunk", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 append-piece
//go:noescape
func importAppendPiece(bytes string, result unsafe.Pointer)

func AppendPiece(bytes []byte) error {
	importAppendPiece(viewed(bytes), area())
	return edited("add to the chunk", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 attribute
//go:noescape
func importAttribute(name string, result unsafe.Pointer)

func GetAttribute(name string) (AttributeValue, bool) {
	importAttribute(name, begin())
	defer end()
	if at8(0) == 0 {
		return AttributeValue{}, false
	}
	value := AttributeValue{Kind: AttributeKind(at8(8))}
	switch value.Kind {
	case NumberKind:
		value.Number = int64(at64(16))
	case FlagKind:
		value.Number = int64(at8(16))
	default:
		value.Text = atPair(16).text()
	}
	return value, true
}

//go:wasmimport windlass:host/exchange@0.1.0 set-attribute
//go:noescape
func importSetTextAttribute(name string, kind uint32, pointer uint64, length uint32, result unsafe.Pointer)

func SetAttribute(name string, value AttributeValue) error {
	first, second := uint64(value.Number), uint32(0)
	if value.Kind == TextKind || value.Kind == BytesKind {
		text := lowered(value.Text)
		first, second = uint64(text.pointer), text.length
	}
	importSetTextAttribute(name, uint32(value.Kind), first, second, area())
	runtime.KeepAlive(value.Text)
	return edited("set the attribute", name)
}

// loweredAttribute is `tuple<string, attribute-value>`.
type loweredAttribute struct {
	name  pair
	kind  uint64
	value uint64
}

//go:wasmimport windlass:host/exchange@0.1.0 set-attributes
//go:noescape
func importSetAttributes(list unsafe.Pointer, count uint32, result unsafe.Pointer)

func SetAttributes(attributes []Attribute) error {
	list := make([]loweredAttribute, len(attributes))
	for index, attribute := range attributes {
		value := attribute.Value
		lower := loweredAttribute{name: lowered(attribute.Name), kind: uint64(value.Kind), value: uint64(value.Number)}
		if value.Kind == TextKind || value.Kind == BytesKind {
			text := lowered(value.Text)
			lower.value = uint64(text.pointer) | uint64(text.length)<<32
		}
		list[index] = lower
	}
	pointer, count := listOf(list)
	importSetAttributes(pointer, count, area())
	runtime.KeepAlive(attributes)
	return edited("set several attributes", "")
}

//go:wasmimport windlass:host/exchange@0.1.0 note
//go:noescape
func importNote(key string, result unsafe.Pointer)

func Note(key string) (string, bool) {
	importNote(key, begin())
	return optional()
}

//go:wasmimport windlass:host/exchange@0.1.0 set-note
//go:noescape
func importSetNote(key, value string, result unsafe.Pointer)

func SetNote(key, value string) error {
	importSetNote(key, value, area())
	return edited("set the note", key)
}
