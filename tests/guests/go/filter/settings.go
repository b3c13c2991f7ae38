// Package filter is shared by the two exported interfaces: the settings, and edits of a query.
// Pure: no calls of the gateway.
package filter

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Source is where the filter reads the key.
type Source struct {
	// InQuery is true for a query parameter, and false for a header.
	InQuery bool
	// Name of the header (lower case) or of the parameter.
	Name string
}

// Configured is the source of the key in this instance.
var Configured Source

// Challenge of a 401 (RFC 9110, section 11.6.1), named as OpenAPI names API keys.
func (s Source) Challenge() string {
	place := "header"
	if s.InQuery {
		place = "query"
	}
	var challenge strings.Builder
	challenge.WriteString(`ApiKey in="` + place + `", name="`)
	for _, r := range s.Name {
		if r == '"' || r == '\\' {
			challenge.WriteByte('\\')
		}
		if unicode.IsControl(r) {
			r = ' '
		}
		challenge.WriteRune(r)
	}
	challenge.WriteByte('"')
	return challenge.String()
}

// Complaint is an error in the settings: a JSON pointer (RFC 6901), and a message.
type Complaint struct {
	At      string
	Message string
}

// ReadSettings gives the source of the key, or all errors. It parses the text by hand, because
// encoding/json is half of a component's size. It reads only the text that the gateway makes from
// a TOML table, so it skips numbers and literals of unknown settings unchecked.
func ReadSettings(text string) (Source, []Complaint) {
	table := tableReader{reader: reader{rest: text}, written: map[string]string{}}
	if !table.read() {
		table.complain("", "the settings are not a table")
	}
	header, headerGiven := table.written["header"]
	query, queryGiven := table.written["query"]
	switch {
	case headerGiven && queryGiven:
		table.complain("/query",
			"the key is in a header or in the query: remove `header` or `query`")
	case queryGiven && query == "":
		table.complain("/query", "name the query parameter")
	case headerGiven && !isFieldName(header):
		table.complain("/header", "`"+header+"` is not a legal header name")
	}
	if len(table.complaints) > 0 {
		return Source{}, table.complaints
	}
	if queryGiven {
		return Source{InQuery: true, Name: query}, nil
	}
	if !headerGiven {
		header = "x-api-key"
	}
	return Source{Name: strings.ToLower(header)}, nil
}

// isFieldName follows RFC 9110, section 5.6.2.
func isFieldName(name string) bool {
	for _, r := range name {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		digit := r >= '0' && r <= '9'
		if !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return false
		}
	}
	return name != ""
}

// pointer to a key of the settings (RFC 6901, section 3).
func pointer(key string) string {
	return "/" + strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// tableReader reads the table of the settings.
type tableReader struct {
	reader
	written    map[string]string
	complaints []Complaint
}

func (t *tableReader) complain(at, message string) {
	t.complaints = append(t.complaints, Complaint{At: at, Message: message})
}

// read returns whether the text is a table.
func (t *tableReader) read() bool {
	if !t.take('{') {
		return false
	}
	if !t.take('}') {
		for {
			if !t.member() {
				return false
			}
			if !t.take(',') {
				break
			}
		}
		if !t.take('}') {
			return false
		}
	}
	return t.peek() == 0 && t.rest == ""
}

func (t *tableReader) member() bool {
	key, ok := t.text()
	if !ok || !t.take(':') {
		return false
	}
	if key != "header" && key != "query" {
		t.complain(pointer(key), "unknown field `"+key+"`, expected `header` or `query`")
		return t.skip(maxDepth)
	}
	if t.peek() != '"' {
		t.complain(pointer(key), "must be a string")
		return t.skip(maxDepth)
	}
	name, ok := t.text()
	if ok {
		t.written[key] = name
	}
	return ok
}

// maxDepth is the deepest nesting in unknown settings.
const maxDepth = 64

// reader of JSON (RFC 8259).
type reader struct {
	rest string
}

// peek gives the next byte that is not white space, or 0 at the end.
func (r *reader) peek() byte {
	r.rest = strings.TrimLeft(r.rest, " \t\r\n")
	if r.rest == "" {
		return 0
	}
	return r.rest[0]
}

func (r *reader) take(want byte) bool {
	if r.peek() != want {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// text reads a string.
func (r *reader) text() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	var text strings.Builder
	for r.rest != "" {
		next := r.rest[0]
		r.rest = r.rest[1:]
		switch next {
		case '"':
			return text.String(), true
		case '\\':
			if !r.escape(&text) {
				return "", false
			}
		default:
			text.WriteByte(next)
		}
	}
	return "", false
}

func (r *reader) escape(text *strings.Builder) bool {
	if r.rest == "" {
		return false
	}
	name := r.rest[0]
	r.rest = r.rest[1:]
	if name == 'u' {
		return r.unicode(text)
	}
	place := strings.IndexByte(`"\/bfnrt`, name)
	if place < 0 {
		return false
	}
	text.WriteByte("\"\\/\b\f\n\r\t"[place])
	return true
}

// unicode reads the code point after `\u`, including the second half of a surrogate pair.
func (r *reader) unicode(text *strings.Builder) bool {
	point, ok := r.unit()
	if ok && utf16.IsSurrogate(point) {
		if !strings.HasPrefix(r.rest, `\u`) {
			return false
		}
		r.rest = r.rest[2:]
		var low rune
		low, ok = r.unit()
		point = utf16.DecodeRune(point, low)
		ok = ok && point != utf8.RuneError
	}
	if ok {
		text.WriteRune(point)
	}
	return ok
}

func (r *reader) unit() (rune, bool) {
	if len(r.rest) < 4 {
		return 0, false
	}
	var unit rune
	for _, digit := range []byte(r.rest[:4]) {
		value := hex(digit)
		if value < 0 {
			return 0, false
		}
		unit = unit<<4 | rune(value)
	}
	r.rest = r.rest[4:]
	return unit, true
}

// hex is the value of a hexadecimal digit, or -1.
func hex(digit byte) int {
	switch {
	case digit >= '0' && digit <= '9':
		return int(digit - '0')
	case digit|0x20 >= 'a' && digit|0x20 <= 'f':
		return int(digit|0x20-'a') + 10
	}
	return -1
}

// skip an unknown value.
func (r *reader) skip(depth int) bool {
	if depth == 0 {
		return false
	}
	if r.peek() == '"' {
		_, ok := r.text()
		return ok
	}
	if r.take('{') {
		return r.skipMembers('}', depth-1)
	}
	if r.take('[') {
		return r.skipMembers(']', depth-1)
	}
	end := strings.IndexAny(r.rest, ",]} \t\r\n")
	if end <= 0 {
		return false
	}
	r.rest = r.rest[end:]
	return true
}

// skipMembers skips the rest of a table or an array.
func (r *reader) skipMembers(end byte, depth int) bool {
	if r.take(end) {
		return true
	}
	for {
		if end == '}' {
			if _, ok := r.text(); !ok || !r.take(':') {
				return false
			}
		}
		if !r.skip(depth) {
			return false
		}
		if !r.take(',') {
			return r.take(end)
		}
	}
}
