package windlass

import "windlass/internal/host"

type (
	// Field is a field of a head. Its value may be any bytes, also such as are not UTF-8.
	Field = host.Field
	// EditError is an edit that the gateway refused. It changed nothing.
	EditError = host.EditError
	// EditReason says why the gateway refused an edit.
	EditReason = host.EditReason
	// Attribute is a fact about the exchange, which one filter sets and later ones read.
	Attribute = host.Attribute
	// ResponseEdit is an edit of a response that is given before there is one.
	ResponseEdit = host.ResponseEdit
)

// Reasons for which the gateway refuses an edit.
const (
	Syntax    = host.Syntax
	Forbidden = host.Forbidden
	TooLate   = host.TooLate
	TooLarge  = host.TooLarge
)

// Exchange is one request and, later, its response, with what filters said about it.
type Exchange struct{}

// TextAttribute is an attribute that is a text, and whether there is one. `client.ip`, `route.id`, `request.id` and the
// others of the gateway are always available.
func (Exchange) TextAttribute(name string) (string, bool) {
	value, found := host.GetAttribute(name)
	return value.Text, found && value.Kind == host.TextKind
}

// BytesAttribute is an attribute that is bytes, and whether there is one.
func (Exchange) BytesAttribute(name string) (string, bool) {
	value, found := host.GetAttribute(name)
	return value.Text, found && value.Kind == host.BytesKind
}

// NumberAttribute is an attribute that is a whole number, and whether there is one.
func (Exchange) NumberAttribute(name string) (int64, bool) {
	value, found := host.GetAttribute(name)
	return value.Number, found && value.Kind == host.NumberKind
}

// FlagAttribute is an attribute that is a flag, and whether there is one.
func (Exchange) FlagAttribute(name string) (value, found bool) {
	attribute, found := host.GetAttribute(name)
	return attribute.Number != 0, found && attribute.Kind == host.FlagKind
}

// SetAttributes sets attributes for later filters, the access log and the balancer: all of them, or none. They need a
// grant. Never put a secret into one.
func (Exchange) SetAttributes(attributes ...Attribute) error {
	if len(attributes) == 1 {
		return host.SetAttribute(attributes[0].Name, attributes[0].Value)
	}
	return host.SetAttributes(attributes)
}

// Text is an attribute that is a text. Bytes that are not UTF-8 become U+FFFD.
func Text(name, value string) Attribute {
	return Attribute{Name: name, Value: host.AttributeValue{Text: validText(value)}}
}

// Bytes is an attribute that is bytes.
func Bytes(name, value string) Attribute {
	return Attribute{Name: name, Value: host.AttributeValue{Kind: host.BytesKind, Text: value}}
}

// Number is an attribute that is a whole number.
func Number(name string, value int64) Attribute {
	return Attribute{Name: name, Value: host.AttributeValue{Kind: host.NumberKind, Number: value}}
}

// Flag is an attribute that is a flag.
func Flag(name string, value bool) Attribute {
	attribute := Attribute{Name: name, Value: host.AttributeValue{Kind: host.FlagKind}}
	if value {
		attribute.Value.Number = 1
	}
	return attribute
}

// Note is what an earlier phase of this filter left for this exchange. The phases may run in different instances, so a
// variable is no place for it.
func (Exchange) Note(key string) (string, bool) {
	return host.Note(key)
}

// SetNote leaves a value for the later phases of this filter. At most 4 KiB together.
func (Exchange) SetNote(key, value string) error {
	return host.SetNote(key, value)
}

// fields are the methods of all heads.
type fields struct{ of host.Message }

// Header is the first value of a field, and whether there is one. The value may be any bytes, also such as are not UTF-8.
func (head fields) Header(name string) (string, bool) {
	return host.Header(head.of, name)
}

// HeaderAll has every value of a field, in order.
func (head fields) HeaderAll(name string) []string {
	return host.HeaderAll(head.of, name)
}

// HeaderMany has the first value of each of these fields, in one call of the gateway; nil for those that are absent.
func (head fields) HeaderMany(names ...string) []*string {
	values := make([]*string, len(names))
	host.HeaderMany(head.of, names, values)
	return values
}

// Headers has all fields. This copies the whole head, so prefer the methods above.
func (head fields) Headers() []Field {
	return host.Headers(head.of)
}

// SetHeader replaces all values of a field by this one.
func (head fields) SetHeader(name, value string) error {
	return host.SetHeader(head.of, name, value)
}

// SetHeaders sets several fields: all of them, or none.
func (head fields) SetHeaders(fields ...Field) error {
	return host.SetHeaders(head.of, fields)
}

// AppendHeader adds a value after the existing ones.
func (head fields) AppendHeader(name, value string) error {
	return host.AppendHeader(head.of, name, value)
}

// RemoveHeader removes all values of a field, and returns how many there were.
func (head fields) RemoveHeader(name string) (int, error) {
	return host.RemoveHeader(head.of, name)
}

// Request is the request. In the response and log phases it is the head that went upstream, and read-only.
type Request struct {
	Exchange
	fields
}

var request = &Request{fields: fields{host.Request}}

// Method is the method, for example `GET`.
func (*Request) Method() string { return host.Method() }

// Scheme is the one that the client used: `http` or `https`.
func (*Request) Scheme() string { return host.Scheme() }

// Authority is host and port as the client sent them.
func (*Request) Authority() string { return host.Authority() }

// Path is the path with the query, as it will be forwarded.
func (*Request) Path() string { return host.Path() }

// OriginalPath is the path with the query as the client sent it.
func (*Request) OriginalPath() string { return host.OriginalPath() }

// PathParam is the value that the route's pattern bound to this name, percent-decoded. Only look at it: to build a
// path, use RawPathParam.
func (*Request) PathParam(name string) (string, bool) { return host.PathParam(name) }

// QueryParam is the first value of a query parameter, percent-decoded.
func (*Request) QueryParam(name string) (string, bool) { return host.QueryParam(name) }

// RawPathParam is the value that the route's pattern bound to this name, still percent-encoded: `a%2Fb` is one segment.
func (*Request) RawPathParam(name string) (string, bool) { return host.RawPathParam(name) }

// RawQueryParam is the first value of a query parameter, still percent-encoded.
func (*Request) RawQueryParam(name string) (string, bool) { return host.RawQueryParam(name) }

// SetMethod sets the method. The route does not change.
func (*Request) SetMethod(method string) error { return host.SetMethod(validText(method)) }

// SetPath sets path and query. The route does not change. If the path has a value of the client's and the gateway
// refuses it, respond with 400.
func (*Request) SetPath(path string) error { return host.SetPath(validText(path)) }

// SetAuthority sets the `host` field that goes upstream.
func (*Request) SetAuthority(authority string) error { return host.SetAuthority(validText(authority)) }

// EditResponse gives edits of the response to this request. The gateway makes them, so the filter needs no OnResponse.
func (*Request) EditResponse(edits ...ResponseEdit) error { return host.EditResponse(edits) }

// SetField replaces all values of a response field.
func SetField(name, value string) ResponseEdit {
	return ResponseEdit{Kind: host.SetField, Name: name, Value: value}
}

// AppendField adds a value to a response field.
func AppendField(name, value string) ResponseEdit {
	return ResponseEdit{Kind: host.AppendField, Name: name, Value: value}
}

// AddMember adds a member to a response field that is a list, such as `vary`, if it is not there.
func AddMember(name, value string) ResponseEdit {
	return ResponseEdit{Kind: host.AddMember, Name: name, Value: value}
}

// RemoveField removes a response field.
func RemoveField(name string) ResponseEdit {
	return ResponseEdit{Kind: host.RemoveField, Name: name}
}

// SetProblemMembers adds the members of this JSON object to the body that the gateway writes for a refusal. It returns
// false if the text is not a JSON object, or too long.
func SetProblemMembers(members string) bool { return host.SetProblemMembers(validText(members)) }

// Response is the response.
type Response struct {
	Exchange
	fields
}

var response = &Response{fields: fields{host.Response}}

// Status is the status; 0 before the response phases.
func (*Response) Status() int {
	status, _ := host.Status()
	return status
}

// SetStatus sets the status to 200 to 599.
func (*Response) SetStatus(status int) error { return host.SetStatus(status) }

// Request is the request of the exchange, read-only.
func (*Response) Request() *Request { return request }

// Trailers are the fields after a body. They can be read and edited only in the last call of a body phase.
type Trailers struct{ fields }

var trailers = &Trailers{fields{host.Trailers}}

// Chunk is a part of a body, or a whole one: as the verdict on the head asked for it. The bytes stay in the gateway
// until they are read.
type Chunk struct {
	length uint64
	last   bool
}

// Len is the number of bytes, with the edits of this call.
func (chunk *Chunk) Len() int { return int(chunk.length) }

// IsLast tells whether this is the last call for the body.
func (chunk *Chunk) IsLast() bool { return chunk.last }

// ReadAt reads from an offset into the buffer, and returns the number of bytes: fewer than the buffer has at the end.
func (chunk *Chunk) ReadAt(buffer []byte, offset int) int {
	return host.ReadPiece(uint64(max(offset, 0)), buffer)
}

// Bytes is a copy of all bytes.
func (chunk *Chunk) Bytes() []byte {
	bytes := make([]byte, chunk.length)
	return bytes[:host.ReadPiece(0, bytes)]
}

// Replace replaces the bytes. No bytes drop the chunk.
func (chunk *Chunk) Replace(bytes []byte) error {
	return chunk.edited(host.ReplacePiece(bytes), uint64(len(bytes)))
}

// Prepend adds bytes before the chunk.
func (chunk *Chunk) Prepend(bytes []byte) error {
	return chunk.edited(host.PrependPiece(bytes), chunk.length+uint64(len(bytes)))
}

// Append adds bytes after the chunk.
func (chunk *Chunk) Append(bytes []byte) error {
	return chunk.edited(host.AppendPiece(bytes), chunk.length+uint64(len(bytes)))
}

func (chunk *Chunk) edited(err error, length uint64) error {
	if err == nil {
		chunk.length = length
	}
	return err
}

// Trailers are the fields after the body, in its last call.
func (chunk *Chunk) Trailers() *Trailers { return trailers }
