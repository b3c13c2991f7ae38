package windlass

import (
	"slices"
	"testing"
	"unicode/utf8"

	"windlass/internal/host"
)

func TestBytesOfAClientBecomeValidText(t *testing.T) {
	for given, wanted := range map[string]string{"blue": "blue", "caf\xe9": "caf\uFFFD", "\xff\xfe": "\uFFFD", "": ""} {
		if got := validText(given); got != wanted || !utf8.ValidString(got) {
			t.Errorf("%q became %q", given, got)
		}
	}
	if got := validTexts([]string{"a", "\xff"}); !slices.Equal(got, []string{"a", "\uFFFD"}) {
		t.Error(got)
	}
}

func TestALogLineAndATextAttributeAreValidText(t *testing.T) {
	host.Current = new(host.Fake)
	defer func() { host.Current = nil }()
	Log.Warn("the team caf\xe9", "team", "caf\xe9")
	if !slices.Equal(host.Current.Lines, []string{"warn: the team caf\uFFFD team=caf\uFFFD"}) {
		t.Error(host.Current.Lines)
	}
	if Text("team", "caf\xe9").Value.Text != "caf\uFFFD" || Bytes("team", "caf\xe9").Value.Text != "caf\xe9" {
		t.Error("an attribute")
	}
}
