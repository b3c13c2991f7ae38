//go:build wasip1

package host

import (
	"runtime"
	"unsafe"
)

// loweredCall has the arguments of `call`: more than fit into parameters.
type loweredCall struct {
	target, method, path, headers, body pair
	hasCredential                       uint32
	credential                          uint32
	first, second                       pair
	share                               uint32
	key                                 pair
}

//go:wasmimport windlass:callout/calls@0.1.0 call
//go:noescape
func importCall(arguments, result unsafe.Pointer)

func MakeCall(target string, call *Call) (*CallResponse, error) {
	headers := loweredFields(call.Headers)
	arguments := loweredCall{
		target:  lowered(target),
		method:  lowered(call.Method),
		path:    lowered(call.Path),
		headers: pair{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(headers)))), uint32(len(call.Headers))},
		body:    lowered(call.Body),
	}
	switch credential := call.Credential; credential.Kind {
	case NoCredential:
	case Bearer:
		arguments.hasCredential = 1
		arguments.first = lowered(credential.Secret)
	default:
		arguments.hasCredential, arguments.credential = 1, uint32(credential.Kind-Bearer)
		arguments.first, arguments.second = lowered(credential.User), lowered(credential.Secret)
	}
	switch {
	case call.Key != "":
		arguments.share, arguments.key = 2, lowered(call.Key)
	case call.Identical:
		arguments.share = 1
	}
	escapedList = headers
	importCall(unsafe.Pointer(&arguments), begin())
	defer end()
	runtime.KeepAlive(call)
	escapedList = nil
	if at8(0) != 0 {
		err := &CallError{Kind: CallErrorKind(at8(4))}
		if err.Kind == Invalid {
			err.Detail = atPair(8).text()
		}
		return nil, err
	}
	return &CallResponse{Status: int(at16(4)), Headers: atPair(8).fields(), Body: atPair(16).bytes()}, nil
}

// escapedList does for a list what escaped does for a text.
var escapedList []pair

// loweredMapping is `mapping` of `tokens`.
type loweredMapping struct {
	claim, attribute pair
	required         uint32
}

//go:wasmimport windlass:jwt/tokens@0.1.0 define
//go:noescape
func importTokensDefine(
	verifiers unsafe.Pointer, verifierCount uint32, scopes unsafe.Pointer, scopeCount uint32, anyScope uint32,
	claims unsafe.Pointer, claimCount uint32, hasField uint32, name string, hasScheme uint32, scheme string, hide uint32,
) uint32

func DefineCheck(check *TokenCheck) uint32 {
	verifiers, verifierCount := listOf(loweredTexts(check.Verifiers))
	scopes, scopeCount := listOf(loweredTexts(check.Scopes))
	mappings := make([]loweredMapping, len(check.Claims))
	for index, claim := range check.Claims {
		mappings[index] = loweredMapping{lowered(claim.Claim), lowered(claim.Attribute), flag(claim.Required)}
	}
	claims, claimCount := listOf(mappings)
	var field TokenField
	if check.Field != nil {
		field = *check.Field
	}
	number := importTokensDefine(
		verifiers, verifierCount, scopes, scopeCount, flag(check.AnyScope), claims, claimCount,
		flag(check.Field != nil), field.Name, flag(field.Scheme != ""), field.Scheme, flag(field.Hide),
	)
	runtime.KeepAlive(check)
	return number
}

//go:wasmimport windlass:jwt/tokens@0.1.0 verify
//go:noescape
func importVerify(
	token string, check uint32, hasProof uint32, proof string, hasOrigin uint32, origin string, maxAge uint64,
	result unsafe.Pointer,
)

func VerifyToken(token string, check uint32, proof *Proof) error {
	var given Proof
	if proof != nil {
		given = *proof
	}
	importVerify(
		token, check, flag(proof != nil), given.Value, flag(given.Origin != ""), given.Origin, given.MaxAge, begin(),
	)
	defer end()
	if at8(0) == 0 {
		return nil
	}
	return verifyErrorAt(4)
}

func verifyErrorAt(offset uintptr) error {
	switch at8(offset) {
	case 0:
		return &TokenError{Kind: TokenRejected, Reason: atPair(offset + 4).text()}
	case 1:
		return &TokenError{Kind: InsufficientScope}
	case 2:
		return &TokenError{Kind: TokenAttribute, Edit: EditReason(at8(offset + 4))}
	case 3:
		return proofErrorAt(offset + 4)
	default:
		return &TokenError{Kind: TokenNotYet}
	}
}

func proofErrorAt(offset uintptr) error {
	if at8(offset) == 0 {
		return &TokenError{Kind: ProofRejected, Reason: atPair(offset + 4).text()}
	}
	return &TokenError{Kind: NoRoomForProofs}
}

//go:wasmimport windlass:jwt/tokens@0.1.0 verify-field
//go:noescape
func importVerifyField(check uint32, result unsafe.Pointer)

func VerifyTokenField(check uint32) error {
	importVerifyField(check, begin())
	defer end()
	if at8(0) == 0 {
		return nil
	}
	switch at8(4) {
	case 0:
		return &TokenError{Kind: TokenMissing}
	case 1:
		return &TokenError{Kind: SeveralTokens}
	case 2:
		return verifyErrorAt(8)
	default:
		return &TokenError{Kind: TokenFieldEdit, Edit: EditReason(at8(8))}
	}
}

//go:wasmimport windlass:jwt/tokens@0.1.0 check-proof
//go:noescape
func importCheckProof(
	proof string, hasOrigin uint32, origin string, maxAge uint64, token, thumbprint string, result unsafe.Pointer,
)

func CheckProof(proof *Proof, token, thumbprint string) error {
	importCheckProof(
		proof.Value, flag(proof.Origin != ""), proof.Origin, proof.MaxAge, token, thumbprint, begin(),
	)
	defer end()
	if at8(0) == 0 {
		return nil
	}
	return proofErrorAt(4)
}

//go:wasmimport windlass:jwt/tokens@0.1.0 claim
//go:noescape
func importClaim(name string, result unsafe.Pointer)

func GetClaim(name string) (Claim, bool) {
	importClaim(name, begin())
	defer end()
	if at8(0) == 0 {
		return Claim{}, false
	}
	claim := Claim{Kind: ClaimKind(at8(8))}
	switch claim.Kind {
	case ClaimNumber:
		claim.Number = atFloat(16)
	case ClaimFlag:
		claim.Flag = at8(16) != 0
	default:
		claim.Text = atPair(16).text()
	}
	return claim, true
}
