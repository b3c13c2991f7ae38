package windlass

import (
	"slices"
	"testing"
	"time"
)

// reads makes a plugin of a function that reads settings.
type reads func(settings *Settings)

func (reads) Describe() Info { return Info{} }

func (read reads) Configure(settings *Settings, _ *Setup) { read(settings) }

func problems(text string, read reads) []string {
	var places []string
	_, found := Configure(read, text)
	for _, problem := range found {
		places = append(places, problem.At+" "+problem.Message)
	}
	return places
}

func TestSettingsAreReadByName(t *testing.T) {
	text := `{"a": "x\u00e4\ud83d\ude00\n", "n": -5, "f": 1.5e3, "b": true, "d": "1m30s", "l": ["1", "2"], "t": {"k": "v"}}`
	found := problems(text, func(settings *Settings) {
		if got := settings.Text("a", ""); got != "xä😀\n" {
			t.Error(got)
		}
		if settings.Number("n", 0) != -5 || settings.Float("f", 0) != 1500 || !settings.Flag("b", false) {
			t.Error("a number or a flag")
		}
		if settings.Duration("d", 0) != 90*time.Second || !slices.Equal(settings.Texts("l"), []string{"1", "2"}) {
			t.Error("a duration or a list")
		}
		if settings.Table("t").Text("k", "") != "v" || settings.Text("absent", "otherwise") != "otherwise" {
			t.Error("a table or a default")
		}
	})
	if len(found) > 0 {
		t.Error(found)
	}
}

func TestWrongAndUnknownSettingsAreErrorsAtTheirPlace(t *testing.T) {
	found := problems(`{"a": 5, "l": ["x", 1], "t": {"a/b": 1}, "u": null}`, func(settings *Settings) {
		settings.Text("a", "")
		settings.Texts("l")
		settings.Table("t").Text("k", "")
		settings.RequiredText("r")
	})
	wanted := []string{
		"/a must be a text",
		"/l/1 must be a text",
		" `r` is missing: a text",
		"/u unknown field `u`, expected one of `a`, `l`, `t`, `r`",
		"/t/a~1b unknown field `a/b`, expected one of `k`",
	}
	if !slices.Equal(found, wanted) {
		t.Errorf("%q", found)
	}
}

func TestTextsThatAreNoTableAreRefused(t *testing.T) {
	for _, text := range []string{``, `[]`, `{`, `{"a"}`, `{"a": 1,}`, `{"a": "\ud800"}`, `{} x`, `{"a": tru}`, "{\"a\": \"\n\"}"} {
		if found := problems(text, func(settings *Settings) { settings.Names() }); len(found) != 1 || found[0][0] != ' ' {
			t.Errorf("%s: %q", text, found)
		}
	}
}
