package windlass

import "strings"

// validText makes a text of bytes that a client may have chosen. The contract's texts are UTF-8, and the gateway fails a
// call that passes other bytes, so each invalid run becomes U+FFFD, as in the kits for JavaScript and TypeScript.
func validText(bytes string) string { return strings.ToValidUTF8(bytes, "\uFFFD") }

func validTexts(list []string) []string {
	texts := make([]string, len(list))
	for index, bytes := range list {
		texts[index] = validText(bytes)
	}
	return texts
}
