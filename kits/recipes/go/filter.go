// Package filter has a recipe for each host interface. The request field `x-recipe` chooses one.
package filter

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"windlass"
)

// Filter is one instance of the plugin.
type Filter struct {
	requests windlass.Counter
	bearer   windlass.Check
	blocked  []string
}

func (filter *Filter) Describe() windlass.Info {
	return windlass.Info{Name: "recipes", Version: "0.1.0", Summary: "a recipe for each host interface"}
}

func (filter *Filter) Configure(settings *windlass.Settings, setup *windlass.Setup) {
	filter.requests = setup.Counter("recipe_requests_total", "method")
	windlass.DefineRates(windlass.Bound{
		Name:    "address",
		By:      windlass.Source{Kind: windlass.CountHeader, Name: "x-address"},
		Missing: windlass.SkipMissing,
		Limit:   1,
		Window:  60_000,
		Burst:   1,
	})
	filter.bearer = windlass.DefineCheck(&windlass.TokenCheck{
		Verifiers: []string{"issuer"},
		Claims:    []windlass.ClaimMapping{{Claim: "sub", Attribute: "user.id", Required: true}},
		Field:     &windlass.TokenField{Name: "authorization", Scheme: "Bearer", Hide: true},
	})
	blocked, found := windlass.Document("blocked")
	if !found {
		settings.Refuse("", "name the document `blocked`")
	}
	filter.blocked = strings.Fields(strings.ReplaceAll(string(blocked), " ", ""))
	if err := setup.EditResponse(windlass.SetField("x-served-by", "recipes")); err != nil {
		settings.Refuse("", err.Error())
	}
	setup.Sometimes = []string{"user.id", "consumer.id", "api-key.id", "auth.method", "plan.id"}
}

func (filter *Filter) OnRequest(request *windlass.Request) (windlass.RequestVerdict, error) {
	recipe, _ := request.Header("x-recipe")
	switch recipe {
	case "count":
		filter.requests.Add(1, request.Method())
		return windlass.Next(windlass.SkipBody), nil
	case "cache":
		return remember(request)
	case "key":
		return key()
	case "plan":
		return plan()
	case "rate":
		return rate()
	case "signature":
		// The head waits until OnRequestBody has seen the whole body.
		return windlass.Next(windlass.WholeBody(64 << 10)), nil
	case "token":
		return filter.token()
	case "ask":
		return ask(request)
	case "list":
		return filter.list(request)
	case "edit":
		return edit(request)
	case "path":
		return path(request)
	default:
		return windlass.Respond(400, "recipe_unknown"), nil
	}
}

// remember keeps a value that all instances and workers share, for a minute.
func remember(request *windlass.Request) (windlass.RequestVerdict, error) {
	first, found := windlass.CacheGet("first-path")
	if !found {
		first = request.Path()
		// False only if the value is too large.
		windlass.CachePut("first-path", first, time.Minute)
	}
	count := windlass.CacheIncrement("requests", 1, time.Minute)
	return windlass.Next(windlass.SkipBody), request.SetHeaders(
		windlass.Field{Name: "x-first-path", Value: first},
		windlass.Field{Name: "x-count", Value: strconv.FormatInt(count, 10)},
	)
}

// key sets `consumer.id` and the other attributes of the key, and removes the field.
func key() (windlass.RequestVerdict, error) {
	if err := windlass.IdentifyByField("x-api-key", true); err != nil {
		// The client must not learn which keys there are.
		return windlass.Respond(401, "key_rejected"), nil
	}
	return windlass.Next(windlass.SkipBody), nil
}

// plan takes from the plan of the key.
func plan() (windlass.RequestVerdict, error) {
	if err := windlass.IdentifyByField("x-api-key", true); err != nil {
		return windlass.Respond(401, "key_rejected"), nil
	}
	decision, err := windlass.Charge("", 1)
	switch {
	case err != nil:
		return windlass.Respond(403, "no_plan"), nil
	case !decision.Allowed:
		seconds := strconv.FormatUint((decision.RetryAfter+999)/1000, 10)
		return windlass.Respond(429, "throttled").WithHeader("retry-after", seconds), nil
	default:
		return windlass.Next(windlass.SkipBody), nil
	}
}

func rate() (windlass.RequestVerdict, error) {
	if windlass.TakeRates(1).Outcome != windlass.RateAllowed {
		return windlass.Respond(429, "too_many_requests"), nil
	}
	return windlass.Next(windlass.SkipBody), nil
}

// token never sees the token: the gateway finds it, and hides it from the endpoint.
func (filter *Filter) token() (windlass.RequestVerdict, error) {
	if err := filter.bearer.VerifyField(); err != nil {
		// While keys are being fetched, the verdict does not matter: the phase runs again.
		return windlass.Respond(401, "token_rejected"), nil
	}
	return windlass.Next(windlass.SkipBody), nil
}

// ask runs again when the answer is there: the same call returns it then.
func ask(request *windlass.Request) (windlass.RequestVerdict, error) {
	user, _ := request.Header("x-user")
	answer, err := windlass.Send("authorizer", &windlass.Call{
		Method:  "GET",
		Path:    "/allowed",
		Headers: []windlass.Field{{Name: "x-user", Value: user}},
	})
	if err != nil {
		return nil, err
	}
	if answer.Status != 200 {
		return windlass.Respond(403, "not_allowed"), nil
	}
	return windlass.Next(windlass.SkipBody), nil
}

func (filter *Filter) list(request *windlass.Request) (windlass.RequestVerdict, error) {
	if agent, _ := request.Header("user-agent"); slices.Contains(filter.blocked, agent) {
		return windlass.Respond(403, "agent_blocked"), nil
	}
	return windlass.Next(windlass.SkipBody), nil
}

// edit needs no response phase for edits of the response, and no body for members of an error's body.
func edit(request *windlass.Request) (windlass.RequestVerdict, error) {
	if _, refuse := request.Header("x-refuse"); refuse {
		windlass.SetProblemMembers(`{ "detail": "ask somebody else" }`)
		return windlass.Respond(403, "refused"), nil
	}
	return windlass.Next(windlass.SkipBody), request.EditResponse(windlass.AddMember("vary", "x-recipe"))
}

// path puts the parameter in as the client spelled it: `a%2Fb` stays one segment.
func path(request *windlass.Request) (windlass.RequestVerdict, error) {
	id, found := request.RawPathParam("id")
	if !found {
		return windlass.Next(windlass.SkipBody), nil
	}
	var refused *windlass.EditError
	if err := request.SetPath("/v2/orders/" + id); errors.As(err, &refused) {
		// The value is the client's.
		return windlass.Respond(400, "path_refused"), nil
	}
	return windlass.Next(windlass.SkipBody), nil
}

// OnRequestBody has all of the body at once: only `signature` asks for it.
func (filter *Filter) OnRequestBody(request *windlass.Request, chunk *windlass.Chunk) (windlass.BodyVerdict, error) {
	signature, _ := request.Header("x-signature")
	tag, err := hex.DecodeString(signature)
	if err != nil || !windlass.VerifyHMAC(windlass.SHA256, "webhook", chunk.Bytes(), tag) {
		windlass.Log.Info("the signature is wrong")
		return windlass.Respond(401, "signature_wrong"), nil
	}
	return windlass.NextChunk, nil
}
