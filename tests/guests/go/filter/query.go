package filter

import "strings"

// QueryWithout gives path and query without every parameter of this name. All other parts stay byte
// for byte. Names are compared after percent-decoding, and `+` is a space, as in the gateway.
func QueryWithout(pathAndQuery, name string) string {
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

func decode(text string) string {
	var decoded strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '+':
			decoded.WriteByte(' ')
		case text[i] == '%' && i+2 < len(text) && hex(text[i+1]) >= 0 && hex(text[i+2]) >= 0:
			decoded.WriteByte(byte(hex(text[i+1])<<4 | hex(text[i+2])))
			i += 2
		default:
			decoded.WriteByte(text[i])
		}
	}
	return decoded.String()
}
