package windlass

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// value is a value of JSON (RFC 8259).
type value struct {
	kind valueKind
	// The text, or the number or the literal as it is written.
	text    string
	items   []value
	members []member
}

type valueKind uint8

const (
	nullValue valueKind = iota
	textValue
	numberValue
	flagValue
	listValue
	tableValue
)

// deepest is the deepest nesting that the reader accepts.
const deepest = 64

// parseJSON reads a text; the second value says what is wrong with it.
func parseJSON(text string) (value, string) {
	reader := reader{rest: text}
	read, ok := reader.value(0)
	if !ok || reader.peek() != 0 || reader.rest != "" {
		return value{}, "not JSON"
	}
	return read, ""
}

type reader struct{ rest string }

// peek is the next byte that is not white space, or 0 at the end.
func (reader *reader) peek() byte {
	for len(reader.rest) > 0 {
		switch reader.rest[0] {
		case ' ', '\t', '\n', '\r':
			reader.rest = reader.rest[1:]
		default:
			return reader.rest[0]
		}
	}
	return 0
}

func (reader *reader) take(wanted byte) bool {
	if reader.peek() != wanted {
		return false
	}
	reader.rest = reader.rest[1:]
	return true
}

func (reader *reader) value(depth int) (value, bool) {
	if depth > deepest {
		return value{}, false
	}
	switch first := reader.peek(); first {
	case '"':
		text, ok := reader.text()
		return value{kind: textValue, text: text}, ok
	case '[':
		return reader.list(depth)
	case '{':
		return reader.table(depth)
	default:
		return reader.word()
	}
}

func (reader *reader) list(depth int) (value, bool) {
	list := value{kind: listValue}
	reader.take('[')
	if reader.take(']') {
		return list, true
	}
	for {
		item, ok := reader.value(depth + 1)
		if !ok {
			return list, false
		}
		list.items = append(list.items, item)
		if !reader.take(',') {
			return list, reader.take(']')
		}
	}
}

func (reader *reader) table(depth int) (value, bool) {
	table := value{kind: tableValue}
	reader.take('{')
	if reader.take('}') {
		return table, true
	}
	for {
		if reader.peek() != '"' {
			return table, false
		}
		name, ok := reader.text()
		if !ok || !reader.take(':') {
			return table, false
		}
		item, ok := reader.value(depth + 1)
		if !ok {
			return table, false
		}
		table.members = append(table.members, member{name: name, value: item})
		if !reader.take(',') {
			return table, reader.take('}')
		}
	}
}

// word reads a number, `true`, `false` or `null`.
func (reader *reader) word() (value, bool) {
	length := 0
	for length < len(reader.rest) && !isEnd(reader.rest[length]) {
		length++
	}
	word := reader.rest[:length]
	reader.rest = reader.rest[length:]
	switch word {
	case "true", "false":
		return value{kind: flagValue, text: word}, true
	case "null":
		return value{}, true
	}
	_, err := strconv.ParseFloat(word, 64)
	return value{kind: numberValue, text: word}, err == nil
}

func isEnd(letter byte) bool {
	switch letter {
	case ',', ']', '}', ' ', '\t', '\n', '\r':
		return true
	default:
		return false
	}
}

func (reader *reader) text() (string, bool) {
	reader.take('"')
	var text []byte
	for index := 0; index < len(reader.rest); index++ {
		switch letter := reader.rest[index]; letter {
		case '"':
			text = append(text, reader.rest[:index]...)
			reader.rest = reader.rest[index+1:]
			return string(text), true
		case '\\':
			text = append(text, reader.rest[:index]...)
			reader.rest = reader.rest[index+1:]
			var ok bool
			if text, ok = reader.escape(text); !ok {
				return "", false
			}
			index = -1
		default:
			if letter < ' ' {
				return "", false
			}
		}
	}
	return "", false
}

func (reader *reader) escape(text []byte) ([]byte, bool) {
	if reader.rest == "" {
		return text, false
	}
	letter := reader.rest[0]
	reader.rest = reader.rest[1:]
	switch letter {
	case '"', '\\', '/':
		return append(text, letter), true
	case 'b':
		return append(text, '\b'), true
	case 'f':
		return append(text, '\f'), true
	case 'n':
		return append(text, '\n'), true
	case 'r':
		return append(text, '\r'), true
	case 't':
		return append(text, '\t'), true
	case 'u':
		first, ok := reader.unit()
		if ok && utf16.IsSurrogate(first) {
			if len(reader.rest) < 2 || reader.rest[:2] != `\u` {
				return text, false
			}
			reader.rest = reader.rest[2:]
			var second rune
			second, ok = reader.unit()
			first = utf16.DecodeRune(first, second)
			ok = ok && first != utf8.RuneError
		}
		return utf8.AppendRune(text, first), ok
	default:
		return text, false
	}
}

func (reader *reader) unit() (rune, bool) {
	if len(reader.rest) < 4 {
		return 0, false
	}
	unit, err := strconv.ParseUint(reader.rest[:4], 16, 16)
	reader.rest = reader.rest[4:]
	return rune(unit), err == nil
}
