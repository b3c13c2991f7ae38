package filter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"windlass"
	"windlass/windlasstest"
)

func configured(t *testing.T) *windlasstest.Filter {
	return windlasstest.Configure(t, new(Filter), `{}`, windlasstest.Gateway{
		Secrets:   map[string]string{"webhook": "a-secret"},
		Documents: map[string]string{"blocked": "bad-bot/1.0\n"},
		Keys:      map[string]*windlass.APIKey{"good": {ID: "acme-1", Consumer: "acme", Plan: "small"}},
		Decide: func(plan, key string, cost uint64) windlass.Decision {
			return windlass.Decision{RetryAfter: 1500}
		},
		Answer: func(target string, call *windlass.Call) (*windlass.CallResponse, error) {
			return &windlass.CallResponse{Status: 403}, nil
		},
	})
}

func send(t *testing.T, headers map[string]string, body ...string) *windlasstest.Result {
	return configured(t).Send(windlasstest.Request{Headers: headers, Body: body})
}

func TestASignedBodyPasses(t *testing.T) {
	sum := hmac.New(sha256.New, []byte("a-secret"))
	sum.Write([]byte("hello"))
	headers := map[string]string{"x-recipe": "signature", "x-signature": hex.EncodeToString(sum.Sum(nil))}
	if result := send(t, headers, "hel", "lo"); result.RequestBody != "hello" || result.Status != 200 {
		t.Errorf("%+v", result)
	}
	if result := send(t, headers, "hel", "p"); result.Reason != "signature_wrong" {
		t.Errorf("%+v", result)
	}
}

func TestAPlanThatIsSpentRefuses(t *testing.T) {
	result := send(t, map[string]string{"x-recipe": "plan", "x-api-key": "good"})
	if result.Reason != "throttled" || result.Headers["retry-after"] != "2" {
		t.Errorf("%+v", result)
	}
}

func TestTheAuthorizerDecides(t *testing.T) {
	if result := send(t, map[string]string{"x-recipe": "ask"}); result.Reason != "not_allowed" {
		t.Errorf("%+v", result)
	}
}

func TestResponsesAreEditedWithoutAPhase(t *testing.T) {
	result := send(t, map[string]string{"x-recipe": "edit"})
	if result.Headers["x-served-by"] != "recipes" || result.Headers["vary"] != "x-recipe" {
		t.Errorf("%+v", result)
	}
}
