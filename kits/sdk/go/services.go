package windlass

import (
	"errors"
	"time"

	"windlass/internal/host"
)

type (
	// APIKey is a key that the operator issued.
	APIKey = host.APIKey
	// KeyError says why a key did not identify the consumer.
	KeyError = host.KeyError
	// Hash is a hash function.
	Hash = host.Hash
	// Level is the state of a limit; times are in milliseconds.
	Level = host.Level
	// Decision is what the limits of a plan say about a request.
	Decision = host.Decision
	// Uncharged says why no plan was charged.
	Uncharged = host.Uncharged
	// Bound is a limit that the filter defines itself.
	Bound = host.Bound
	// Source is the value that a limit counts by.
	Source = host.Source
	// RateDecision is the answer of the filter's own limits.
	RateDecision = host.RateDecision
	// RateLevel is the state of one of the filter's own limits.
	RateLevel = host.RateLevel
	// Call is a request to another server.
	Call = host.Call
	// CallResponse is the response of another server.
	CallResponse = host.CallResponse
	// CallError is a call without a response.
	CallError = host.CallError
	// Credential is a secret that the gateway adds to a call, by its name.
	Credential = host.Credential
	// TokenCheck is what a token must satisfy.
	TokenCheck = host.TokenCheck
	// TokenField is a request field that holds a token.
	TokenField = host.TokenField
	// ClaimMapping is a claim that becomes an attribute.
	ClaimMapping = host.ClaimMapping
	// TokenError is a token that is not accepted.
	TokenError = host.TokenError
	// Proof is a client's proof that it holds the key to which its token is bound.
	Proof = host.Proof
	// Claim is a claim of a token.
	Claim = host.Claim
)

// Hash functions.
const (
	SHA256 = host.SHA256
	SHA384 = host.SHA384
	SHA512 = host.SHA512
)

// Values of Source.Kind.
const (
	CountAll           = host.All
	CountClientAddress = host.ClientAddress
	CountAttribute     = host.ByAttribute
	CountHeader        = host.ByHeader
	CountPathParam     = host.ByPathParam
)

// Values of Bound.Missing.
const (
	ShareMissing = host.Share
	SkipMissing  = host.Skip
	DenyMissing  = host.Deny
)

// Values of Bound.Algorithm.
const (
	TokenBucket   = host.TokenBucket
	SlidingWindow = host.SlidingWindow
)

// Values of RateDecision.Outcome.
const (
	RateAllowed     = host.Allowed
	RateRefused     = host.Refused
	RateLacksValue  = host.LacksValue
	RateUnavailable = host.StoreUnavailable
)

// Values of Decision.RefusedBy.
const (
	RefusedByNone    = host.NoBound
	RefusedByMethod  = host.MethodRate
	RefusedByPlan    = host.PlanRate
	RefusedByQuota   = host.PlanQuota
	RefusedByRoute   = host.RouteRate
	RefusedByGateway = host.GatewayRate
	LimitUnavailable = host.Unavailable
)

// Values of CallError.Kind.
const (
	CallNotYet      = host.NotYet
	CallInvalid     = host.Invalid
	CallNotHere     = host.NotHere
	CallBusy        = host.Busy
	CallTimeout     = host.Timeout
	CallUnreachable = host.Unreachable
	CallTooLarge    = host.ResponseTooLarge
)

// Values of TokenError.Kind.
const (
	TokenRejected     = host.TokenRejected
	InsufficientScope = host.InsufficientScope
	TokenAttribute    = host.TokenAttribute
	ProofRejected     = host.ProofRejected
	NoRoomForProofs   = host.NoRoomForProofs
	TokenNotYet       = host.TokenNotYet
	TokenMissing      = host.TokenMissing
	SeveralTokens     = host.SeveralTokens
	TokenFieldEdit    = host.TokenFieldEdit
)

// Values of Claim.Kind.
const (
	ClaimText   = host.ClaimText
	ClaimNumber = host.ClaimNumber
	ClaimFlag   = host.ClaimFlag
	ClaimJSON   = host.ClaimJSON
)

// FindKey finds a key by the value that the client presented. The error is a *KeyError. Needs the grant `keys`.
func FindKey(presented string) (*APIKey, error) { return host.FindKey(presented) }

// Identify finds a key, and sets the attributes of its consumer: all of them, or none. The error is a *KeyError. Needs
// the grant `keys`, and those for the attributes.
func Identify(presented string) error { return host.Identify(presented) }

// IdentifyByField does the same with the key in a field of the request, which the filter never sees. With hide, the
// gateway removes the field.
func IdentifyByField(name string, hide bool) error { return host.IdentifyField(name, hide) }

// CacheGet is a value of the filter's cache, and whether it is there. Needs the grant `cache`.
func CacheGet(key string) (string, bool) { return host.CacheGet(validText(key)) }

// CachePut stores a value for at most a day. It returns false if the value exceeds 64 KiB with its key.
func CachePut(key, value string, ttl time.Duration) bool {
	return host.CachePut(validText(key), value, milliseconds(ttl))
}

// CacheDelete deletes a value.
func CacheDelete(key string) { host.CacheDelete(validText(key)) }

// CacheIncrement adds to a number that starts at 0 and expires after its first use, and returns the sum.
func CacheIncrement(key string, delta int64, ttl time.Duration) int64 {
	return host.CacheIncrement(validText(key), delta, milliseconds(ttl))
}

// Digest is the digest of the data. Needs the grant `crypto`.
func Digest(hash Hash, data []byte) []byte { return host.Digest(hash, data) }

// VerifyHMAC tells whether tag is the HMAC of the data under the named secret, compared in constant time. It is false if
// the secret does not exist or is not granted. Needs the grant `crypto`, and one for the secret.
func VerifyHMAC(hash Hash, secret string, data, tag []byte) bool {
	return host.VerifyHMAC(hash, secret, data, tag)
}

// SignHMAC is the HMAC of the data under the named secret.
func SignHMAC(hash Hash, secret string, data []byte) ([]byte, error) {
	tag, refused := host.SignHMAC(hash, secret, data)
	if refused != "" {
		return nil, errors.New(refused)
	}
	return tag, nil
}

// Charge takes from every limit that a usage plan sets for the exchange's API key. An empty plan is the key's own. The
// error is an Uncharged. Needs the grant `limits`.
func Charge(plan string, cost uint64) (Decision, error) { return host.Charge(validText(plan), cost) }

// Take takes from every limit that a usage plan sets for a key. It returns false if there is no such plan.
func Take(plan, key string, cost uint64) (Decision, bool) { return host.Take(validText(plan), validText(key), cost) }

// TakeInline takes from a token bucket that the filter defines itself.
func TakeInline(key string, cost, capacity uint64, refillPerSecond float64) Decision {
	return host.TakeInline(validText(key), cost, capacity, refillPerSecond)
}

// GiveBack returns the amounts that this exchange took.
func GiveBack(ticket uint64) { host.GiveBack(ticket) }

// Standing is the state of the limits after the last decision that this filter asked for in this exchange. Each is nil if
// there is none; asked is false if it asked for none.
func Standing() (rate, quota *Level, asked bool) { return host.Standing() }

// DefineRates defines the filter's own limits, in Configure, once. Needs the grant `rates`.
func DefineRates(bounds ...Bound) { host.DefineRates(bounds) }

// TakeRates takes from all of the filter's own limits, in one step.
func TakeRates(cost uint64) RateDecision { return host.TakeRates(cost) }

// RatesStanding is the state of the filter's own limits after the last TakeRates in this exchange.
func RatesStanding() []RateLevel { return host.RatesStanding() }

// DocumentNames has the names of the filter's documents, in alphabetical order.
func DocumentNames() []string { return host.DocumentNames() }

// Document is a copy of a document, and whether there is one. Read it in Configure, and keep what you made of it.
func Document(name string) ([]byte, bool) {
	size, found := host.DocumentSize(name)
	if !found {
		return nil, false
	}
	document := make([]byte, size)
	read, found := host.DocumentRead(name, 0, document)
	return document[:read], found
}

// DocumentDigest is the SHA-256 of a document, and whether there is one.
func DocumentDigest(name string) ([]byte, bool) { return host.DocumentDigest(name) }

// APIDescription has the APIs in the configuration of the exchange, as JSON. Needs the grant `api-description`.
func APIDescription() string { return host.APIDescription() }

// APIDescriptionDigest is the SHA-256 of that text, to detect a change.
func APIDescriptionDigest() []byte { return host.APIDescriptionDigest() }

// Send sends a request to a target that the operator granted. The first time, the error has the kind CallNotYet: return
// it, and the phase runs again when the response has arrived. So a filter makes the same calls in the same order each
// time. The error is a *CallError. Needs the grant `callout`, and one for the target.
func Send(target string, call *Call) (*CallResponse, error) { return host.MakeCall(target, call) }

// BearerToken adds `authorization: Bearer`, with the named secret.
func BearerToken(secret string) Credential {
	return Credential{Kind: host.Bearer, Secret: secret}
}

// BasicPassword adds `authorization: Basic`, with the named secret as the password.
func BasicPassword(user, secret string) Credential {
	return Credential{Kind: host.Basic, User: user, Secret: secret}
}

// FormSecret adds a field with the named secret to a body that is a form.
func FormSecret(field, secret string) Credential {
	return Credential{Kind: host.FormField, User: field, Secret: secret}
}

// Check is a check of tokens that DefineCheck defined.
type Check struct{ number uint32 }

// DefineCheck defines a check of tokens, in Configure. Needs the grant `jwt`.
func DefineCheck(check *TokenCheck) Check { return Check{host.DefineCheck(check)} }

// Verify verifies a token; proof may be nil. The error is a *TokenError. If its kind is TokenNotYet, return it.
func (check Check) Verify(token string, proof *Proof) error {
	return host.VerifyToken(token, check.number, proof)
}

// VerifyField verifies the token in the field of the check, which the filter never sees.
func (check Check) VerifyField() error { return host.VerifyTokenField(check.number) }

// CheckProof checks a proof for a token that no verifier can check.
func CheckProof(proof *Proof, token, thumbprint string) error {
	return host.CheckProof(proof, token, thumbprint)
}

// TokenClaim is a claim of the last token that was accepted in this phase, by its name or JSON pointer.
func TokenClaim(name string) (Claim, bool) { return host.GetClaim(name) }
