package filter

import (
	"strconv"
	"strings"
)

// queryWithout gives path and query without every parameter of this name. All other parts stay byte
// for byte. Names are compared after percent-decoding, and `+` is a space, as in the gateway.
func queryWithout(pathAndQuery, name string) string {
	path, query, found := strings.Cut(pathAndQuery, "?")
	if !found {
		return pathAndQuery
	}
	var kept []string
	for _, pair := range strings.Split(query, "&") {
		written, _, _ := strings.Cut(pair, "=")
		if decode(written) != name {
			kept = append(kept, pair)
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + strings.Join(kept, "&")
}

// decode leaves an escape that is none as it is, as the gateway does.
func decode(text string) string {
	var decoded strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '+':
			decoded.WriteByte(' ')
		case text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			value, _ := strconv.ParseUint(text[i+1:i+3], 16, 8)
			decoded.WriteByte(byte(value))
			i += 2
		default:
			decoded.WriteByte(text[i])
		}
	}
	return decoded.String()
}

func isHex(digit byte) bool {
	return '0' <= digit && digit <= '9' || 'a' <= digit|0x20 && digit|0x20 <= 'f'
}
