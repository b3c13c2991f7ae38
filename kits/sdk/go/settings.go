package windlass

import (
	"strconv"
	"strings"
	"time"
)

// Settings are the operator's settings, or a table in them. Each method reads one of them by its name. What is of
// another type is an error at its line, and so is a setting that Configure did not ask for.
//
// encoding/json would read them too, but it doubles the size of a component and the time of its first start.
type Settings struct {
	at       string
	members  []member
	problems *[]Diagnostic
	// The names that were asked for, for the error of an unknown one.
	asked []string
	below []*Settings
}

type member struct {
	name  string
	value value
	read  bool
}

// Refuse says that the settings have an error. At is a JSON pointer that begins at this table, such as `/allow`; the
// message says what is wrong and how to correct it, in lower case and without a period.
func (settings *Settings) Refuse(at, message string) {
	if !strings.HasPrefix(at, "documents/") {
		at = settings.at + at
	}
	*settings.problems = append(*settings.problems, Diagnostic{at, message})
}

// Has tells whether the operator wrote this setting.
func (settings *Settings) Has(name string) bool {
	return settings.find(name) != nil
}

func (settings *Settings) find(name string) *value {
	settings.asked = append(settings.asked, name)
	for index := range settings.members {
		if settings.members[index].name == name {
			settings.members[index].read = true
			return &settings.members[index].value
		}
	}
	return nil
}

func (settings *Settings) wrong(name, expected string) {
	settings.Refuse(pointer(name), "must be "+expected)
}

// Text is a text.
func (settings *Settings) Text(name, otherwise string) string {
	found := settings.find(name)
	switch {
	case found == nil:
		return otherwise
	case found.kind != textValue:
		settings.wrong(name, "a text")
		return otherwise
	default:
		return found.text
	}
}

// RequiredText is a text that must be there.
func (settings *Settings) RequiredText(name string) string {
	if found := settings.find(name); found == nil {
		settings.Refuse("", "`"+name+"` is missing: a text")
		return ""
	}
	return settings.Text(name, "")
}

// Texts is a list of texts; none if it is not there.
func (settings *Settings) Texts(name string) []string {
	found := settings.find(name)
	if found == nil {
		return nil
	}
	if found.kind != listValue {
		settings.wrong(name, "a list of texts")
		return nil
	}
	texts := make([]string, 0, len(found.items))
	for index, item := range found.items {
		if item.kind != textValue {
			settings.Refuse(pointer(name)+"/"+strconv.Itoa(index), "must be a text")
		}
		texts = append(texts, item.text)
	}
	return texts
}

// Number is a whole number.
func (settings *Settings) Number(name string, otherwise int64) int64 {
	found := settings.find(name)
	if found == nil {
		return otherwise
	}
	number, err := strconv.ParseInt(found.text, 10, 64)
	if found.kind != numberValue || err != nil {
		settings.wrong(name, "a whole number")
		return otherwise
	}
	return number
}

// Float is a number.
func (settings *Settings) Float(name string, otherwise float64) float64 {
	found := settings.find(name)
	if found == nil {
		return otherwise
	}
	number, err := strconv.ParseFloat(found.text, 64)
	if found.kind != numberValue || err != nil {
		settings.wrong(name, "a number")
		return otherwise
	}
	return number
}

// Flag is true or false.
func (settings *Settings) Flag(name string, otherwise bool) bool {
	found := settings.find(name)
	switch {
	case found == nil:
		return otherwise
	case found.kind != flagValue:
		settings.wrong(name, "true or false")
		return otherwise
	default:
		return found.text == "true"
	}
}

// Duration is a text such as "250ms", "5s" or "1h30m".
func (settings *Settings) Duration(name string, otherwise time.Duration) time.Duration {
	found := settings.find(name)
	if found == nil {
		return otherwise
	}
	duration, err := time.ParseDuration(found.text)
	if found.kind != textValue || err != nil || duration < 0 {
		settings.wrong(name, "a duration such as \"5s\"")
		return otherwise
	}
	return duration
}

// Table is a table; an empty one if it is not there.
func (settings *Settings) Table(name string) *Settings {
	found := settings.find(name)
	if found == nil {
		return settings.child(pointer(name), nil)
	}
	if found.kind != tableValue {
		settings.wrong(name, "a table")
	}
	return settings.child(pointer(name), found)
}

// Tables is a list of tables; none if it is not there.
func (settings *Settings) Tables(name string) []*Settings {
	found := settings.find(name)
	if found == nil {
		return nil
	}
	if found.kind != listValue {
		settings.wrong(name, "a list of tables")
		return nil
	}
	var tables []*Settings
	for index := range found.items {
		at := pointer(name) + "/" + strconv.Itoa(index)
		if found.items[index].kind != tableValue {
			settings.Refuse(at, "must be a table")
		}
		tables = append(tables, settings.child(at, &found.items[index]))
	}
	return tables
}

// Names has the names of this table, for a table whose names the operator chooses.
func (settings *Settings) Names() []string {
	names := make([]string, len(settings.members))
	for index, member := range settings.members {
		names[index] = member.name
	}
	return names
}

func (settings *Settings) child(at string, found *value) *Settings {
	child := &Settings{at: settings.at + at, problems: settings.problems}
	if found != nil {
		child.members = found.members
	}
	settings.below = append(settings.below, child)
	return child
}

// refuseUnknown refuses what Configure did not ask for.
func (settings *Settings) refuseUnknown() {
	for _, member := range settings.members {
		if !member.read {
			settings.Refuse(pointer(member.name), "unknown field `"+member.name+"`"+settings.expected())
		}
	}
	for _, below := range settings.below {
		below.refuseUnknown()
	}
}

func (settings *Settings) expected() string {
	text := ""
	for index, name := range settings.asked {
		if strings.Contains(text, "`"+name+"`") {
			continue
		}
		if index > 0 {
			text += ", "
		}
		text += "`" + name + "`"
	}
	if text == "" {
		return ", there are no settings"
	}
	return ", expected one of " + text
}

// pointer is the JSON pointer to a name (RFC 6901, section 3).
func pointer(name string) string {
	return "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// Configure gives a plugin its settings, as the gateway does: for `export` and `windlasstest`.
func Configure(plugin Plugin, settings string) (*Setup, []Diagnostic) {
	var problems []Diagnostic
	table := &Settings{problems: &problems}
	root, err := parseJSON(settings)
	if err != "" || root.kind != tableValue {
		return nil, []Diagnostic{{"", "the settings are not a table"}}
	}
	table.members = root.members
	setup := new(Setup)
	plugin.Configure(table, setup)
	table.refuseUnknown()
	return setup, problems
}
