// Package host has the functions that the gateway offers to filters: in a component by imports (`wasm_*.go`), and in
// the tests of a plugin by a fake (`native*.go`). Both sides have the same functions.
//
// The component does not use generated bindings: this package passes values without an allocation for each call, and
// the linker drops the functions that a filter does not use, so that its component imports only what it calls.
package host

// Message is one of the heads of an exchange.
type Message uint32

const (
	Request Message = iota
	Response
	Trailers
)

// Field is a field of a head. Its value may be any bytes, also such as are not UTF-8.
type Field struct {
	Name, Value string
}

// EditReason says why the gateway refused an edit.
type EditReason uint8

const (
	// Syntax: it is not a legal field name, field value, method, path, authority or status.
	Syntax EditReason = iota
	// Forbidden: it belongs to the gateway, or the operator did not grant it.
	Forbidden
	// TooLate: the head has already been sent, or no phase runs that may edit it.
	TooLate
	// TooLarge: the head, the attributes or the notes would exceed their limit.
	TooLarge
)

func (reason EditReason) String() string {
	switch reason {
	case Syntax:
		return "it is not legal"
	case Forbidden:
		return "it belongs to the gateway, or is not granted"
	case TooLate:
		return "it is too late"
	default:
		return "it is too large"
	}
}

// EditError is an edit that the gateway refused. It changed nothing.
type EditError struct {
	// Edit says what the filter wanted to do.
	Edit string
	// Name is that of the field, attribute or note. It may be empty.
	Name   string
	Reason EditReason
}

func (err *EditError) Error() string {
	text := "the gateway refused to " + err.Edit
	if err.Name != "" {
		text += " `" + err.Name + "`"
	}
	return text + ": " + err.Reason.String()
}

// AttributeKind is the type of an attribute.
type AttributeKind uint8

const (
	TextKind AttributeKind = iota
	NumberKind
	FlagKind
	BytesKind
)

// AttributeValue is the value of an attribute: a text, a whole number, a flag, or bytes.
type AttributeValue struct {
	Kind   AttributeKind
	Text   string
	Number int64
}

// Attribute is a fact about the exchange, which one filter sets and later ones read.
type Attribute struct {
	Name  string
	Value AttributeValue
}

// LogLevel is the importance of a line in the log.
type LogLevel uint32

const (
	Trace LogLevel = iota
	Debug
	Info
	Warn
	Error
)

// EditKind is what an edit of a response does.
type EditKind uint8

const (
	SetField EditKind = iota
	AppendField
	AddMember
	RemoveField
)

// ResponseEdit is an edit of a response that is given before there is one.
type ResponseEdit struct {
	Kind        EditKind
	Name, Value string
}

// KeyReject says why a key is not accepted. Clients must not learn which it is.
type KeyReject uint8

const (
	Unknown KeyReject = iota
	Disabled
	Expired
)

func (reject KeyReject) String() string {
	return [...]string{"unknown", "disabled", "expired"}[reject]
}

// KeyError says why a key did not identify the consumer.
type KeyError struct {
	// Missing: the field is missing or empty.
	Missing bool
	// Rejected says that the key is not accepted, for the reason in Reject.
	Rejected bool
	Reject   KeyReject
	// Otherwise an edit was refused: of an attribute, or of the field.
	Edit EditReason
}

func (err *KeyError) Error() string {
	switch {
	case err.Missing:
		return "the key is missing"
	case err.Rejected:
		return "the key is " + err.Reject.String()
	default:
		return "the gateway refused an edit: " + err.Edit.String()
	}
}

// APIKey is a key that the operator issued.
type APIKey struct {
	ID, Consumer string
	// Plan is the usage plan on this route, or empty.
	Plan string
	// Attributes are those that the operator gave the key.
	Attributes map[string]string
}

// Hash is a hash function.
type Hash uint32

const (
	SHA256 Hash = iota
	SHA384
	SHA512
)

// Level is the state of a limit. Times are in milliseconds.
type Level struct {
	Limit, Remaining, Window, Reset uint64
}

// LimitBound is the limit that refused.
type LimitBound uint8

const (
	NoBound LimitBound = iota
	MethodRate
	PlanRate
	PlanQuota
	RouteRate
	GatewayRate
	Unavailable
)

// Decision is what the limits of a plan say about a request.
type Decision struct {
	Allowed   bool
	RefusedBy LimitBound
	// RetryAfter is in milliseconds; the largest number if no attempt can succeed.
	RetryAfter uint64
	// Rate and Quota are nil if the plan has none.
	Rate, Quota *Level
	// Ticket is for GiveBack.
	Ticket uint64
}

// Uncharged says why no plan was charged.
type Uncharged uint8

const (
	NoKey Uncharged = iota
	NoPlan
	UnknownPlan
)

func (err Uncharged) Error() string {
	return [...]string{
		"the attribute `api-key.id` is missing",
		"the attribute `plan.id` is missing",
		"there is no such plan",
	}[err]
}

// SourceKind is where a limit finds the value that it counts by.
type SourceKind uint8

const (
	All SourceKind = iota
	ClientAddress
	ByAttribute
	ByHeader
	ByPathParam
)

// Source is the value that a limit counts by.
type Source struct {
	Kind SourceKind
	// Name is that of the attribute, field or parameter.
	Name string
	// IPv4 and IPv6 are the leading bits of an address that count.
	IPv4, IPv6 uint8
}

// Missing is how a limit treats a request without the value.
type Missing uint8

const (
	Share Missing = iota
	Skip
	Deny
)

// Algorithm is how a limit counts.
type Algorithm uint8

const (
	TokenBucket Algorithm = iota
	SlidingWindow
)

// Bound is a limit that the filter defines itself.
type Bound struct {
	Name      string
	By        Source
	Missing   Missing
	Algorithm Algorithm
	Limit     uint64
	// Window is in milliseconds.
	Window uint64
	// Burst is the size of a token bucket.
	Burst uint64
	// Shadow: it refuses nothing, and only reports that it would have.
	Shadow bool
}

// RateOutcome is what the filter's own limits say about a request.
type RateOutcome uint8

const (
	Allowed RateOutcome = iota
	Refused
	LacksValue
	StoreUnavailable
)

// RateDecision is the answer of the filter's own limits.
type RateDecision struct {
	Outcome RateOutcome
	// By has a bit for each limit that refuses or lacks its value, the lowest bit for the first limit. Shadowed has
	// the same for limits in shadow.
	By, Shadowed uint32
	// RetryAfter is in milliseconds.
	RetryAfter uint64
}

// RateLevel is the state of one of the filter's own limits.
type RateLevel struct {
	// Bound is its index in the list of its definition.
	Bound uint32
	Level
}

// CredentialKind is how a secret is added to a call.
type CredentialKind uint8

const (
	NoCredential CredentialKind = iota
	Bearer
	Basic
	FormField
)

// Credential is a secret that the gateway adds to a call, by its name.
type Credential struct {
	Kind CredentialKind
	// User is the user name of Basic, or the name of the field of FormField.
	User   string
	Secret string
}

// Call is a request to another server.
type Call struct {
	Method, Path string
	Headers      []Field
	Body         string
	Credential   Credential
	// Identical: other exchanges may share the response to the same request.
	Identical bool
	// Key: those with this key share a response. Empty: none.
	Key string
}

// CallResponse is the response of another server.
type CallResponse struct {
	Status  int
	Headers []Field
	Body    []byte
}

// Header is the first value of a field, in any case of letters, and whether there is one.
func (response *CallResponse) Header(name string) (string, bool) {
	for _, field := range response.Headers {
		if len(field.Name) == len(name) && equalFold(field.Name, name) {
			return field.Value, true
		}
	}
	return "", false
}

func equalFold(a, b string) bool {
	for index := range len(a) {
		if lower(a[index]) != lower(b[index]) {
			return false
		}
	}
	return true
}

func lower(letter byte) byte {
	if 'A' <= letter && letter <= 'Z' {
		return letter + 'a' - 'A'
	}
	return letter
}

// CallErrorKind says why there is no response.
type CallErrorKind uint8

const (
	// NotYet: return this error from the phase. It runs again when the response has arrived.
	NotYet CallErrorKind = iota
	Invalid
	NotHere
	Busy
	Timeout
	Unreachable
	ResponseTooLarge
)

// CallError is a call without a response.
type CallError struct {
	Kind   CallErrorKind
	Detail string
}

func (err *CallError) Error() string {
	text := [...]string{
		"the response has not arrived yet",
		"the request cannot be sent",
		"calls may be made only in the request phase, and at most eight",
		"too many calls are active",
		"the response did not arrive in time",
		"the server cannot be reached",
		"the response is too large",
	}[err.Kind]
	if err.Detail != "" {
		text += ": " + err.Detail
	}
	return text
}

// ClaimMapping is a claim that becomes an attribute.
type ClaimMapping struct {
	Claim, Attribute string
	Required         bool
}

// TokenField is a request field that holds a token.
type TokenField struct {
	Name string
	// Scheme is the word before the token; empty: the whole value is the token.
	Scheme string
	// Hide: the host removes the field.
	Hide bool
}

// TokenCheck is what a token must satisfy.
type TokenCheck struct {
	Verifiers, Scopes []string
	// AnyScope: one of the scopes is enough.
	AnyScope bool
	Claims   []ClaimMapping
	// Field is where VerifyField finds the token; may be nil.
	Field *TokenField
}

// Proof is a client's proof that it holds the key to which its token is bound (RFC 9449).
type Proof struct {
	Value string
	// Origin is the scheme, host and port that clients use; empty: those of the request.
	Origin string
	// MaxAge is in milliseconds.
	MaxAge uint64
}

// TokenErrorKind says why a token is not accepted.
type TokenErrorKind uint8

const (
	TokenRejected TokenErrorKind = iota
	InsufficientScope
	TokenAttribute
	ProofRejected
	NoRoomForProofs
	// TokenNotYet: return this error from the phase. It runs again when the verifier has newer keys.
	TokenNotYet
	TokenMissing
	SeveralTokens
	TokenFieldEdit
)

// TokenError is a token that is not accepted. Tell the client no reason other than InsufficientScope.
type TokenError struct {
	Kind TokenErrorKind
	// Reason is a stable word, for logs.
	Reason string
	Edit   EditReason
}

func (err *TokenError) Error() string {
	text := [...]string{
		"the token is rejected",
		"the token lacks scopes",
		"the gateway refused an attribute",
		"the proof is rejected",
		"the gateway cannot remember more proofs",
		"the token needs newer keys",
		"there is no token",
		"there are several tokens",
		"the gateway refused to edit the token's field",
	}[err.Kind]
	if err.Reason != "" {
		return text + ": " + err.Reason
	}
	return text
}

// ClaimKind is the type of a claim.
type ClaimKind uint8

const (
	ClaimText ClaimKind = iota
	ClaimNumber
	ClaimFlag
	ClaimJSON
)

// Claim is a claim of a token.
type Claim struct {
	Kind ClaimKind
	// Text is a text or JSON.
	Text   string
	Number float64
	Flag   bool
}
