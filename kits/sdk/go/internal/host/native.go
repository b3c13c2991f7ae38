//go:build !wasip1

package host

import (
	"net/url"
	"slices"
	"strings"
)

// Fake is the gateway in the tests of a plugin. `windlasstest` fills it in.
type Fake struct {
	// Phase is the phase that runs, for example `request`; `configure`, or empty.
	Phase string
	// HeadOpen: the head of the message whose body is passed was not sent yet.
	HeadOpen bool

	Method, Scheme, Authority, Path, OriginalPath string
	// PathParams are spelled as in the path.
	PathParams map[string]string
	Status     int
	Heads      [3][]Field
	Chunk      []byte
	Attributes map[string]AttributeValue
	Notes      map[string]string
	Edits      []ResponseEdit
	Members    string
	Lines      []string

	Keys      map[string]*APIKey
	Secrets   map[string][]byte
	Documents map[string][]byte
	Cache     map[string]string
	Series    map[string]float64
	// Advice has what Configure said to the operator, and what it declared.
	Advice []string
	// Decide is the answer of the limits of plans. Nil: they allow everything.
	Decide func(plan, key string, cost uint64) Decision
	// Rates is the answer of the filter's own limits. Nil: they allow everything.
	Rates func(cost uint64) RateDecision
	// Answer is the answer of the target of a call.
	Answer func(target string, call *Call) (*CallResponse, error)
	// Token is the answer about a token.
	Token       func(token string) (map[string]Claim, error)
	Claims      map[string]Claim
	Description string
	Bounds      []Bound
	Checks      []TokenCheck
	lastRate    *Level
	lastQuota   *Level
	hasAsked    bool
}

// Current is the gateway of the running test.
var Current *Fake

// gateway is the fake of the running test. A call of a service outside of a test of windlasstest is a mistake of the test.
func gateway(call string) *Fake {
	if Current == nil {
		panic("`" + call + "` works only in the gateway, or in a phase that windlasstest runs")
	}
	return Current
}

// exchange is the fake while a phase runs. Outside of it every read gives none.
func exchange() *Fake {
	if Current == nil || Current.Phase == "" || Current.Phase == "configure" {
		return &Fake{}
	}
	return Current
}

func (fake *Fake) mayEdit(of Message) bool {
	switch fake.Phase {
	case "request":
		return of == Request
	case "request-body":
		return of == Request && fake.HeadOpen || of == Trailers
	case "response":
		return of == Response
	case "response-body":
		return of == Response && fake.HeadOpen || of == Trailers
	default:
		return false
	}
}

func Method() string       { return exchange().Method }
func Scheme() string       { return exchange().Scheme }
func Authority() string    { return exchange().Authority }
func Path() string         { return exchange().Path }
func OriginalPath() string { return exchange().OriginalPath }

func RawPathParam(name string) (string, bool) {
	value, found := exchange().PathParams[name]
	return value, found
}

func PathParam(name string) (string, bool) {
	value, found := RawPathParam(name)
	decoded, err := url.PathUnescape(value)
	return decoded, found && err == nil
}

func RawQueryParam(name string) (string, bool) {
	_, query, _ := strings.Cut(exchange().Path, "?")
	for part := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(key); err == nil && decoded == name && part != "" {
			return value, true
		}
	}
	return "", false
}

func QueryParam(name string) (string, bool) {
	value, found := RawQueryParam(name)
	decoded, err := url.QueryUnescape(value)
	return decoded, found && err == nil
}

// edit makes an edit, or says why the gateway would refuse it.
func edit(what, name string, of Message, legal bool, make func(fake *Fake)) error {
	fake := exchange()
	switch {
	case !fake.mayEdit(of):
		return &EditError{what, name, TooLate}
	case !legal:
		return &EditError{what, name, Syntax}
	}
	make(fake)
	return nil
}

func SetMethod(method string) error {
	return edit("set the method", method, Request, isToken(method), func(fake *Fake) { fake.Method = method })
}

func SetPath(path string) error {
	legal := strings.HasPrefix(path, "/") && !strings.ContainsAny(path, " \r\n\x00#")
	return edit("set the path", "", Request, legal, func(fake *Fake) { fake.Path = path })
}

func SetAuthority(authority string) error {
	legal := authority != "" && !strings.ContainsAny(authority, " /\r\n\x00")
	return edit("set the authority", "", Request, legal, func(fake *Fake) { fake.Authority = authority })
}

func Status() (int, bool) {
	status := exchange().Status
	return status, status != 0
}

func SetStatus(status int) error {
	legal := 200 <= status && status <= 599
	return edit("set the status", "", Response, legal, func(fake *Fake) { fake.Status = status })
}

func Header(of Message, name string) (string, bool) {
	values := HeaderAll(of, name)
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func HeaderAll(of Message, name string) []string {
	values := []string{}
	for _, field := range exchange().Heads[of] {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

func HeaderMany(of Message, names []string, values []*string) {
	for index, name := range names {
		values[index] = nil
		if value, found := Header(of, name); found {
			values[index] = &value
		}
	}
}

func Headers(of Message) []Field {
	return slices.Clone(exchange().Heads[of])
}

func isToken(text string) bool {
	for _, letter := range []byte(text) {
		isDigit := '0' <= letter && letter <= '9'
		isLetter := 'a' <= lower(letter) && lower(letter) <= 'z'
		if !isDigit && !isLetter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(letter)) {
			return false
		}
	}
	return text != ""
}

// reserved are the fields that belong to the gateway.
var reserved = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

func editField(what string, of Message, name, value string, make func(fake *Fake, name string)) error {
	name = strings.ToLower(name)
	if slices.Contains(reserved, name) && exchange().mayEdit(of) {
		return &EditError{what, name, Forbidden}
	}
	legal := isToken(name) && !strings.ContainsAny(value, "\r\n\x00")
	return edit(what, name, of, legal, func(fake *Fake) { make(fake, name) })
}

func (fake *Fake) remove(of Message, name string) int {
	before := len(fake.Heads[of])
	fake.Heads[of] = slices.DeleteFunc(slices.Clone(fake.Heads[of]), func(field Field) bool {
		return strings.EqualFold(field.Name, name)
	})
	return before - len(fake.Heads[of])
}

func SetHeader(of Message, name, value string) error {
	return editField("set the field", of, name, value, func(fake *Fake, name string) {
		fake.remove(of, name)
		fake.Heads[of] = append(fake.Heads[of], Field{name, value})
	})
}

func SetHeaders(of Message, fields []Field) error {
	before := slices.Clone(exchange().Heads[of])
	for _, field := range fields {
		if err := SetHeader(of, field.Name, field.Value); err != nil {
			exchange().Heads[of] = before
			return &EditError{Edit: "set several fields", Reason: err.(*EditError).Reason}
		}
	}
	return nil
}

func AppendHeader(of Message, name, value string) error {
	return editField("append to the field", of, name, value, func(fake *Fake, name string) {
		fake.Heads[of] = append(fake.Heads[of], Field{name, value})
	})
}

func RemoveHeader(of Message, name string) (removed int, err error) {
	err = editField("remove the field", of, name, "", func(fake *Fake, name string) {
		removed = fake.remove(of, name)
	})
	return removed, err
}

func ReadPiece(offset uint64, buffer []byte) int {
	chunk := exchange().Chunk
	return copy(buffer, chunk[min(offset, uint64(len(chunk))):])
}

func editChunk(what string, make func(fake *Fake)) error {
	fake := exchange()
	if fake.Phase != "request-body" && fake.Phase != "response-body" {
		return &EditError{what, "", TooLate}
	}
	make(fake)
	return nil
}

func ReplacePiece(bytes []byte) error {
	return editChunk("replace the chunk", func(fake *Fake) { fake.Chunk = slices.Clone(bytes) })
}

func PrependPiece(bytes []byte) error {
	return editChunk("add to the chunk", func(fake *Fake) { fake.Chunk = slices.Concat(bytes, fake.Chunk) })
}

func AppendPiece(bytes []byte) error {
	return editChunk("add to the chunk", func(fake *Fake) { fake.Chunk = slices.Concat(fake.Chunk, bytes) })
}

func GetAttribute(name string) (AttributeValue, bool) {
	value, found := exchange().Attributes[name]
	return value, found
}

func SetAttribute(name string, value AttributeValue) error {
	return SetAttributes([]Attribute{{name, value}})
}

func SetAttributes(attributes []Attribute) error {
	fake := exchange()
	for _, attribute := range attributes {
		owner, _, _ := strings.Cut(attribute.Name, ".")
		if fake.Phase == "" || fake.Phase == "log" {
			return &EditError{"set the attribute", attribute.Name, TooLate}
		}
		if slices.Contains([]string{"client", "route", "request", "api", "upstream", "outcome"}, owner) {
			return &EditError{"set the attribute", attribute.Name, Forbidden}
		}
	}
	for _, attribute := range attributes {
		fake.Attributes[attribute.Name] = attribute.Value
	}
	return nil
}

func Note(key string) (string, bool) {
	value, found := exchange().Notes[key]
	return value, found
}

func SetNote(key, value string) error {
	fake := exchange()
	if fake.Phase == "" || fake.Phase == "log" {
		return &EditError{"set the note", key, TooLate}
	}
	fake.Notes[key] = value
	return nil
}
