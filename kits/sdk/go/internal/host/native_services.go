//go:build !wasip1

package host

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"hash"
	"slices"
	"strings"
)

func LogEnabled(level LogLevel) bool { return level >= Debug }

// LogWrite keeps the line. Outside of a test of windlasstest it is dropped.
func LogWrite(level LogLevel, message string, fields []Field) {
	if Current == nil {
		return
	}
	line := [...]string{"trace", "debug", "info", "warn", "error"}[level] + ": " + message
	for _, field := range fields {
		line += " " + field.Name + "=" + field.Value
	}
	Current.Lines = append(Current.Lines, line)
}

func MetricsAdd(series uint32, labels []string, value float64) {
	fake := gateway("metrics")
	name := strings.Join(append([]string{string('0' + rune(series))}, labels...), ",")
	fake.Series[name] += value
}

func advise(words ...string) {
	fake := gateway("advice")
	fake.Advice = append(fake.Advice, strings.Join(words, " "))
}

func AdviceWarn(at, message string) { advise("warn", at, message) }
func AdviceVouch(field string)      { advise("vouch", field) }
func AdviceClear(field string)      { advise("clear", field) }
func AdviceRead(field string)       { advise("read", field) }
func AnswerPreflights()             { advise("answer preflights") }
func SkipOnResponse()               { advise("skip on-response") }

func DocumentNames() []string {
	var names []string
	for name := range gateway("documents").Documents {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func DocumentSize(name string) (uint64, bool) {
	document, found := gateway("documents").Documents[name]
	return uint64(len(document)), found
}

func DocumentRead(name string, offset uint64, buffer []byte) (int, bool) {
	document, found := gateway("documents").Documents[name]
	return copy(buffer, document[min(offset, uint64(len(document))):]), found
}

func DocumentDigest(name string) ([]byte, bool) {
	document, found := gateway("documents").Documents[name]
	digest := sha256.Sum256(document)
	return digest[:], found
}

func APIDescription() string { return gateway("api-description").Description }

func APIDescriptionDigest() []byte {
	digest := sha256.Sum256([]byte(APIDescription()))
	return digest[:]
}

func EditResponse(edits []ResponseEdit) error {
	fake := gateway("response-edits")
	if !slices.Contains([]string{"configure", "request", "request-body"}, fake.Phase) {
		return &EditError{"edit the response", "", TooLate}
	}
	fake.Edits = append(fake.Edits, edits...)
	return nil
}

func SetProblemMembers(members string) bool {
	var object map[string]any
	if len(members) > 4096 || json.Unmarshal([]byte(members), &object) != nil || object == nil {
		return false
	}
	gateway("problem-members").Members = members
	return true
}

func FindKey(presented string) (*APIKey, error) {
	if key, found := gateway("keys").Keys[presented]; found {
		return key, nil
	}
	return nil, &KeyError{Rejected: true}
}

func Identify(presented string) error {
	key, err := FindKey(presented)
	if err != nil {
		return err
	}
	fake := gateway("keys")
	facts := map[string]string{"consumer.id": key.Consumer, "api-key.id": key.ID, "auth.method": "api-key"}
	if key.Plan != "" {
		facts["plan.id"] = key.Plan
	}
	for name, value := range key.Attributes {
		if name != "id" {
			facts["api-key."+name] = value
		}
	}
	for name, value := range facts {
		fake.Attributes[name] = AttributeValue{Text: value}
	}
	return nil
}

func IdentifyField(name string, hide bool) error {
	presented, _ := Header(Request, name)
	if presented == "" {
		return &KeyError{Missing: true}
	}
	err := Identify(presented)
	if err == nil && hide {
		_, err = RemoveHeader(Request, name)
	}
	return err
}

func CacheGet(key string) (string, bool) {
	value, found := gateway("cache").Cache[key]
	return value, found
}

func CachePut(key, value string, milliseconds uint64) bool {
	fake := gateway("cache")
	if len(key)+len(value) > 64<<10 {
		return false
	}
	fake.Cache[key] = value
	return true
}

func CacheDelete(key string) { delete(gateway("cache").Cache, key) }

func CacheIncrement(key string, delta int64, milliseconds uint64) int64 {
	fake := gateway("cache")
	sum := delta
	if stored := fake.Cache[key]; len(stored) == 8 {
		sum += int64(binary.LittleEndian.Uint64([]byte(stored)))
	}
	fake.Cache[key] = string(binary.LittleEndian.AppendUint64(nil, uint64(sum)))
	return sum
}

func hasher(kind Hash) func() hash.Hash {
	return [...]func() hash.Hash{sha256.New, sha512.New384, sha512.New}[kind]
}

func Digest(kind Hash, data []byte) []byte {
	gateway("crypto")
	sum := hasher(kind)()
	sum.Write(data)
	return sum.Sum(nil)
}

func VerifyHMAC(kind Hash, secret string, data, tag []byte) bool {
	made, refused := SignHMAC(kind, secret, data)
	return refused == "" && hmac.Equal(made, tag)
}

func SignHMAC(kind Hash, secret string, data []byte) (tag []byte, refused string) {
	value, found := gateway("crypto").Secrets[secret]
	if !found {
		return nil, "no secret `" + secret + "` is granted"
	}
	sum := hmac.New(hasher(kind), value)
	sum.Write(data)
	return sum.Sum(nil), ""
}

func (fake *Fake) decide(plan, key string, cost uint64) Decision {
	decision := Decision{Allowed: true, Ticket: 1}
	if fake.Decide != nil {
		decision = fake.Decide(plan, key, cost)
	}
	fake.lastRate, fake.lastQuota, fake.hasAsked = decision.Rate, decision.Quota, true
	return decision
}

func Charge(plan string, cost uint64) (Decision, error) {
	fake := gateway("limits")
	key := fake.Attributes["api-key.id"].Text
	if plan == "" {
		plan = fake.Attributes["plan.id"].Text
	}
	switch {
	case key == "":
		return Decision{}, NoKey
	case plan == "":
		return Decision{}, NoPlan
	}
	return fake.decide(plan, key, cost), nil
}

func Take(plan, key string, cost uint64) (Decision, bool) {
	return gateway("limits").decide(plan, key, cost), true
}

func TakeInline(key string, cost, capacity uint64, refill float64) Decision {
	return gateway("limits").decide("", key, cost)
}

func GiveBack(ticket uint64) { gateway("limits") }

func Standing() (rate, quota *Level, asked bool) {
	fake := gateway("limits")
	return fake.lastRate, fake.lastQuota, fake.hasAsked
}

func DefineRates(bounds []Bound) { gateway("rates").Bounds = bounds }

func TakeRates(cost uint64) RateDecision {
	if rates := gateway("rates").Rates; rates != nil {
		return rates(cost)
	}
	return RateDecision{}
}

func RatesStanding() []RateLevel {
	gateway("rates")
	return nil
}

func MakeCall(target string, call *Call) (*CallResponse, error) {
	fake := gateway("callout")
	if fake.Phase != "request" {
		return nil, &CallError{Kind: NotHere}
	}
	if fake.Answer == nil {
		return nil, &CallError{Kind: Unreachable}
	}
	return fake.Answer(target, call)
}

func DefineCheck(check *TokenCheck) uint32 {
	fake := gateway("jwt")
	fake.Checks = append(fake.Checks, *check)
	return uint32(len(fake.Checks) - 1)
}

func VerifyToken(token string, check uint32, proof *Proof) error {
	fake := gateway("jwt")
	if fake.Token == nil {
		return &TokenError{Kind: TokenRejected, Reason: "unknown"}
	}
	claims, err := fake.Token(token)
	if err == nil {
		fake.Claims = claims
	}
	return err
}

func VerifyTokenField(check uint32) error {
	field := gateway("jwt").Checks[check].Field
	value, _ := Header(Request, field.Name)
	if field.Scheme != "" {
		value = strings.TrimPrefix(value, field.Scheme+" ")
	}
	if value == "" {
		return &TokenError{Kind: TokenMissing}
	}
	err := VerifyToken(value, check, nil)
	if field.Hide {
		RemoveHeader(Request, field.Name)
	}
	return err
}

func CheckProof(proof *Proof, token, thumbprint string) error {
	gateway("jwt")
	return &TokenError{Kind: ProofRejected, Reason: "proof_fake"}
}

func GetClaim(name string) (Claim, bool) {
	claim, found := gateway("jwt").Claims[name]
	return claim, found
}
