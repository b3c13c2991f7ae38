//go:build wasip1

package host

import (
	"runtime"
	"unsafe"
)

//go:wasmimport windlass:host/log@0.1.0 enabled
func importLogEnabled(level LogLevel) bool

func LogEnabled(level LogLevel) bool {
	return importLogEnabled(level)
}

//go:wasmimport windlass:host/log@0.1.0 write
//go:noescape
func importLogWrite(level LogLevel, message string, fields unsafe.Pointer, count uint32)

func LogWrite(level LogLevel, message string, fields []Field) {
	list := loweredFields(fields)
	importLogWrite(level, message, unsafe.Pointer(unsafe.SliceData(list)), uint32(len(fields)))
	runtime.KeepAlive(fields)
}

// Print writes to standard error: the gateway logs each line.
func Print(text string) {
	print(text)
}

//go:wasmimport windlass:host/metrics@0.1.0 add
//go:noescape
func importMetricsAdd(series uint32, labels unsafe.Pointer, count uint32, value float64)

func MetricsAdd(series uint32, labels []string, value float64) {
	list, count := listOf(loweredTexts(labels))
	importMetricsAdd(series, list, count, value)
	runtime.KeepAlive(labels)
}

//go:wasmimport windlass:host/advice@0.1.0 warn
//go:noescape
func importAdviceWarn(at, message string)

func AdviceWarn(at, message string) {
	importAdviceWarn(at, message)
}

//go:wasmimport windlass:host/advice@0.1.0 vouch
//go:noescape
func importAdviceVouch(field string)

func AdviceVouch(field string) {
	importAdviceVouch(field)
}

//go:wasmimport windlass:host/advice@0.1.0 clear
//go:noescape
func importAdviceClear(field string)

func AdviceClear(field string) {
	importAdviceClear(field)
}

//go:wasmimport windlass:host/advice@0.1.0 read
//go:noescape
func importAdviceRead(field string)

func AdviceRead(field string) {
	importAdviceRead(field)
}

//go:wasmimport windlass:host/preflights@0.1.0 answer
func importPreflightsAnswer()

func AnswerPreflights() {
	importPreflightsAnswer()
}

//go:wasmimport windlass:host/documents@0.1.0 names
//go:noescape
func importDocumentNames(result unsafe.Pointer)

func DocumentNames() []string {
	importDocumentNames(begin())
	defer end()
	return atPair(0).texts()
}

//go:wasmimport windlass:host/documents@0.1.0 size
//go:noescape
func importDocumentSize(name string, result unsafe.Pointer)

func DocumentSize(name string) (uint64, bool) {
	importDocumentSize(name, area())
	return at64(8), at8(0) != 0
}

//go:wasmimport windlass:host/documents@0.1.0 read
//go:noescape
func importDocumentRead(name string, offset uint64, length uint32, result unsafe.Pointer)

// DocumentRead reads a part of a document into a buffer, and returns the number of bytes.
func DocumentRead(name string, offset uint64, buffer []byte) (int, bool) {
	result := begin()
	defer end()
	target, targetSize = uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer))
	escaped = unsafe.SliceData(buffer)
	importDocumentRead(name, offset, uint32(len(buffer)), result)
	if at8(0) == 0 {
		return 0, false
	}
	read := atPair(4)
	if uintptr(read.pointer) != uintptr(unsafe.Pointer(unsafe.SliceData(buffer))) {
		copy(buffer, read.view())
	}
	return int(read.length), true
}

//go:wasmimport windlass:host/documents@0.1.0 digest
//go:noescape
func importDocumentDigest(name string, result unsafe.Pointer)

func DocumentDigest(name string) ([]byte, bool) {
	importDocumentDigest(name, begin())
	defer end()
	if at8(0) == 0 {
		return nil, false
	}
	return atPair(4).bytes(), true
}

//go:wasmimport windlass:host/api-description@0.1.0 read
//go:noescape
func importAPIDescription(result unsafe.Pointer)

func APIDescription() string {
	importAPIDescription(begin())
	defer end()
	return atPair(0).text()
}

//go:wasmimport windlass:host/api-description@0.1.0 digest
//go:noescape
func importAPIDescriptionDigest(result unsafe.Pointer)

func APIDescriptionDigest() []byte {
	importAPIDescriptionDigest(begin())
	defer end()
	return atPair(0).bytes()
}

// loweredEdit is `response-edit`.
type loweredEdit struct {
	kind        uint32
	name, value pair
}

//go:wasmimport windlass:host/response-edits@0.1.0 edit
//go:noescape
func importResponseEdits(edits unsafe.Pointer, count uint32, result unsafe.Pointer)

func EditResponse(edits []ResponseEdit) error {
	list := make([]loweredEdit, len(edits))
	for index, edit := range edits {
		list[index] = loweredEdit{uint32(edit.Kind), lowered(edit.Name), lowered(edit.Value)}
	}
	pointer, count := listOf(list)
	importResponseEdits(pointer, count, area())
	runtime.KeepAlive(edits)
	return edited("edit the response", "")
}

//go:wasmimport windlass:host/response-edits@0.1.0 skip-on-response
func importSkipOnResponse()

func SkipOnResponse() {
	importSkipOnResponse()
}

//go:wasmimport windlass:host/problem-members@0.1.0 set
//go:noescape
func importProblemMembers(members string) bool

func SetProblemMembers(members string) bool {
	return importProblemMembers(members)
}

//go:wasmimport windlass:host/keys@0.1.0 find
//go:noescape
func importKeysFind(presented string, result unsafe.Pointer)

func FindKey(presented string) (*APIKey, error) {
	importKeysFind(presented, begin())
	defer end()
	if at8(0) != 0 {
		return nil, &KeyError{Rejected: true, Reject: KeyReject(at8(4))}
	}
	key := &APIKey{ID: atPair(4).text(), Consumer: atPair(12).text()}
	if at8(20) != 0 {
		key.Plan = atPair(24).text()
	}
	list := atPair(32)
	if list.length > 0 {
		key.Attributes = make(map[string]string, list.length)
		for pairs := list.pairs(2); len(pairs) > 0; pairs = pairs[2:] {
			key.Attributes[pairs[0].text()] = pairs[1].text()
		}
	}
	return key, nil
}

//go:wasmimport windlass:host/keys@0.1.0 identify
//go:noescape
func importIdentify(presented string, result unsafe.Pointer)

func Identify(presented string) error {
	importIdentify(presented, area())
	switch {
	case at8(0) == 0:
		return nil
	case at8(1) == 0:
		return &KeyError{Rejected: true, Reject: KeyReject(at8(2))}
	default:
		return &KeyError{Edit: EditReason(at8(2))}
	}
}

//go:wasmimport windlass:host/keys@0.1.0 identify-field
//go:noescape
func importIdentifyField(name string, hide uint32, result unsafe.Pointer)

func IdentifyField(name string, hide bool) error {
	importIdentifyField(name, flag(hide), area())
	if at8(0) == 0 {
		return nil
	}
	switch at8(1) {
	case 0:
		return &KeyError{Missing: true}
	case 1:
		return &KeyError{Rejected: true, Reject: KeyReject(at8(2))}
	default:
		return &KeyError{Edit: EditReason(at8(2))}
	}
}

//go:wasmimport windlass:host/cache@0.1.0 get
//go:noescape
func importCacheGet(key string, result unsafe.Pointer)

func CacheGet(key string) (string, bool) {
	importCacheGet(key, begin())
	return optional()
}

//go:wasmimport windlass:host/cache@0.1.0 put
//go:noescape
func importCachePut(key, value string, milliseconds uint64) bool

func CachePut(key, value string, milliseconds uint64) bool {
	return importCachePut(key, value, milliseconds)
}

//go:wasmimport windlass:host/cache@0.1.0 delete
//go:noescape
func importCacheDelete(key string)

func CacheDelete(key string) {
	importCacheDelete(key)
}

//go:wasmimport windlass:host/cache@0.1.0 increment
//go:noescape
func importCacheIncrement(key string, delta int64, milliseconds uint64) int64

func CacheIncrement(key string, delta int64, milliseconds uint64) int64 {
	return importCacheIncrement(key, delta, milliseconds)
}

//go:wasmimport windlass:host/crypto@0.1.0 digest
//go:noescape
func importDigest(hash Hash, data string, result unsafe.Pointer)

func Digest(hash Hash, data []byte) []byte {
	importDigest(hash, viewed(data), begin())
	defer end()
	return atPair(0).bytes()
}

//go:wasmimport windlass:host/crypto@0.1.0 hmac-verify
//go:noescape
func importHMACVerify(hash Hash, secret, data, tag string) bool

func VerifyHMAC(hash Hash, secret string, data, tag []byte) bool {
	return importHMACVerify(hash, secret, viewed(data), viewed(tag))
}

//go:wasmimport windlass:host/crypto@0.1.0 hmac-sign
//go:noescape
func importHMACSign(hash Hash, secret, data string, result unsafe.Pointer)

// SignHMAC gives the tag, or the reason why there is none.
func SignHMAC(hash Hash, secret string, data []byte) (tag []byte, refused string) {
	importHMACSign(hash, secret, viewed(data), begin())
	defer end()
	if at8(0) != 0 {
		return nil, atPair(4).text()
	}
	return atPair(4).bytes(), ""
}
