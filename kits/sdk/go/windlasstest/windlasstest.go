//go:build !wasip1

// Package windlasstest runs the phases of a plugin in `go test`, with a fake of the gateway.
//
// The fake follows the rules of the contract for heads, bodies, notes and attributes. The answers of services come from
// the test. `windlass plugin test` runs a component in the real gateway.
package windlasstest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"windlass"
	"windlass/internal/host"
)

// Gateway is what the operator configured. Everything is optional.
type Gateway struct {
	// Keys are the API keys, by what clients present.
	Keys map[string]*windlass.APIKey
	// Secrets are those that are granted, by name.
	Secrets map[string]string
	// Documents are those of the filter, by name.
	Documents map[string]string
	// Decide is the answer of the limits of plans. Without it they allow everything.
	Decide func(plan, key string, cost uint64) windlass.Decision
	// Rates is the answer of the filter's own limits. Without it they allow everything.
	Rates func(cost uint64) windlass.RateDecision
	// Answer is the answer of the target of a call.
	Answer func(target string, call *windlass.Call) (*windlass.CallResponse, error)
	// Token says whether a token is accepted, and which claims it has.
	Token func(token string) (map[string]windlass.Claim, error)
}

// Filter is a plugin with settings.
type Filter struct {
	plugin windlass.Plugin
	fake   *host.Fake
	setup  []windlass.ResponseEdit
}

// Configure gives a plugin its settings, as JSON. If it refuses them, the test fails.
func Configure(t testing.TB, plugin windlass.Plugin, settings string, gateway Gateway) *Filter {
	t.Helper()
	filter, problems := TryConfigure(plugin, settings, gateway)
	for _, problem := range problems {
		t.Fatalf("the settings are refused at `%s`: %s", problem.At, problem.Message)
	}
	return filter
}

// TryConfigure gives a plugin its settings, as JSON, and returns the errors that it finds in them.
func TryConfigure(plugin windlass.Plugin, settings string, gateway Gateway) (*Filter, []windlass.Diagnostic) {
	fake := &host.Fake{
		Phase:     "configure",
		Keys:      gateway.Keys,
		Secrets:   map[string][]byte{},
		Documents: map[string][]byte{},
		Cache:     map[string]string{},
		Series:    map[string]float64{},
		Decide:    gateway.Decide,
		Rates:     gateway.Rates,
		Answer:    gateway.Answer,
		Token:     gateway.Token,
	}
	for name, secret := range gateway.Secrets {
		fake.Secrets[name] = []byte(secret)
	}
	for name, document := range gateway.Documents {
		fake.Documents[name] = []byte(document)
	}
	host.Current = fake
	defer func() { host.Current = nil }()
	_, problems := windlass.Configure(plugin, settings)
	return &Filter{plugin, fake, fake.Edits}, problems
}

// Request is what the client sends.
type Request struct {
	// Method is GET, and Path `/`, if they are empty.
	Method, Path string
	Headers      map[string]string
	// Body has the chunks of the body.
	Body []string
	// PathParams are what the route's pattern bound.
	PathParams map[string]string
	// Attributes are those of the gateway and of earlier filters, as texts.
	Attributes map[string]string
	// Response is what the endpoint answers: 200 if its status is 0.
	Response Response
}

// Response is a response.
type Response struct {
	Status  int
	Headers map[string]string
	Body    []string
}

// Result is what became of a request.
type Result struct {
	// Status, Headers and Body are those of the response to the client.
	Status  int
	Headers map[string]string
	Body    string
	// Reason is the filter's own, if it gave the response.
	Reason string
	// Method, Path, RequestHeaders and RequestBody are those that the endpoint got; empty if it got no request.
	Method, Path   string
	RequestHeaders map[string]string
	RequestBody    string
	// Hint is the one that the filter gave to the balancer, if it did.
	Hint *windlass.Hint
	// Attributes are those at the end, as texts.
	Attributes map[string]string
	// Log has the filter's lines: `info: message name=value`.
	Log []string
	// Problem has the members that the filter added to the body of its refusal.
	Problem string
	// Failure is the error with which a phase failed.
	Failure error
}

// Send runs the phases of the filter for a request.
func (filter *Filter) Send(request Request) *Result {
	run := filter.begin(request)
	defer func() { host.Current = nil }()
	if run.request() {
		run.response(request.Response)
	}
	run.call("log", func() (any, error) {
		if plugin, has := run.plugin.(windlass.LogFilter); has {
			plugin.OnLog(windlass.TheResponse())
		}
		return nil, nil
	})
	return run.end()
}

type run struct {
	*Filter
	result Result
	body   []string
	// The body of the response, so far.
	sent strings.Builder
}

func (filter *Filter) begin(request Request) *run {
	fake := filter.fake
	fake.Method, fake.Scheme, fake.Authority = or(request.Method, "GET"), "http", "localhost"
	fake.Path = or(request.Path, "/")
	fake.OriginalPath = fake.Path
	fake.PathParams = request.PathParams
	fake.Status, fake.Members, fake.Lines = 0, "", nil
	fake.Heads = [3][]windlass.Field{fieldsOf(request.Headers)}
	fake.Notes = map[string]string{}
	fake.Edits = slices.Clone(filter.setup)
	fake.Attributes = map[string]host.AttributeValue{
		"client.ip": {Text: "127.0.0.1"}, "request.id": {Text: "test"}, "route.id": {Text: "test"},
	}
	for name, value := range request.Attributes {
		fake.Attributes[name] = host.AttributeValue{Text: value}
	}
	host.Current = fake
	return &run{Filter: filter, body: request.Body}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func fieldsOf(headers map[string]string) []windlass.Field {
	var fields []windlass.Field
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fields = append(fields, windlass.Field{Name: strings.ToLower(name), Value: headers[name]})
	}
	return fields
}

func mapOf(fields []windlass.Field) map[string]string {
	headers := map[string]string{}
	for _, field := range fields {
		if _, has := headers[field.Name]; !has {
			headers[field.Name] = field.Value
		}
	}
	return headers
}

// call runs a phase. If it fails, its edits are undone. A service that asks to wait is asked again at once.
func (run *run) call(phase string, function func() (any, error)) any {
	before := *run.fake
	before.Notes, before.Attributes = maps.Clone(before.Notes), maps.Clone(before.Attributes)
	run.fake.Phase = phase
	verdict, err := function()
	run.fake.Phase = ""
	if err == nil && verdict == nil && phase != "log" {
		panic("the phase " + phase + " returned no verdict")
	}
	if err != nil {
		lines := run.fake.Lines
		*run.fake = before
		run.fake.Phase, run.fake.Lines = "", lines
		run.result.Failure = err
		return windlass.Respond(500, "filter_failed")
	}
	return verdict
}

// request runs the request phases. It returns false if the endpoint gets no request.
func (run *run) request() bool {
	mode := windlass.SkipBody
	if plugin, has := run.plugin.(windlass.RequestFilter); has {
		verdict := run.call("request", func() (any, error) { return plugin.OnRequest(windlass.TheRequest()) })
		switch verdict := verdict.(type) {
		case *windlass.LocalResponse:
			return run.refuse(verdict)
		case *windlass.HeadRoute:
			run.result.Hint, mode = windlass.HintOf(verdict)
		case *windlass.HeadNext:
			mode = windlass.ModeOf(verdict)
		}
	}
	plugin, _ := run.plugin.(windlass.RequestBodyFilter)
	body, refusal := run.pass("request-body", mode, run.body, func(chunk *windlass.Chunk) (windlass.BodyVerdict, error) {
		return plugin.OnRequestBody(windlass.TheRequest(), chunk)
	})
	if refusal != nil {
		return run.refuse(refusal)
	}
	fake := run.fake
	run.result.Method, run.result.Path, run.result.RequestBody = fake.Method, fake.Path, body
	run.result.RequestHeaders = mapOf(fake.Heads[host.Request])
	return true
}

func (run *run) refuse(response *windlass.LocalResponse) bool {
	run.fake.Status, run.fake.Heads[host.Response] = response.Status, response.Fields
	run.result.Reason = response.Reason
	run.sent.Reset()
	run.sent.Write(response.Body)
	return false
}

func (run *run) response(answer Response) {
	run.fake.Status, run.fake.Heads[host.Response] = max(answer.Status, 0), fieldsOf(answer.Headers)
	if answer.Status == 0 {
		run.fake.Status = 200
	}
	for _, edit := range run.fake.Edits {
		run.edit(edit)
	}
	mode := windlass.SkipBody
	if plugin, has := run.plugin.(windlass.ResponseFilter); has {
		verdict := run.call("response", func() (any, error) { return plugin.OnResponse(windlass.TheResponse()) })
		switch verdict := verdict.(type) {
		case *windlass.LocalResponse:
			run.refuse(verdict)
			return
		case *windlass.HeadNext:
			mode = windlass.ModeOf(verdict)
		}
	}
	plugin, _ := run.plugin.(windlass.ResponseBodyFilter)
	body, refusal := run.pass("response-body", mode, answer.Body, func(chunk *windlass.Chunk) (windlass.BodyVerdict, error) {
		return plugin.OnResponseBody(windlass.TheResponse(), chunk)
	})
	if refusal != nil {
		run.refuse(refusal)
		return
	}
	run.sent.WriteString(body)
}

// edit makes an edit of the response for the filter.
func (run *run) edit(edit windlass.ResponseEdit) {
	run.fake.Phase = "response"
	defer func() { run.fake.Phase = "" }()
	switch edit.Kind {
	case host.SetField:
		host.SetHeader(host.Response, edit.Name, edit.Value)
	case host.AppendField:
		host.AppendHeader(host.Response, edit.Name, edit.Value)
	case host.RemoveField:
		host.RemoveHeader(host.Response, edit.Name)
	case host.AddMember:
		for _, value := range host.HeaderAll(host.Response, edit.Name) {
			for member := range strings.SplitSeq(value, ",") {
				if member = strings.TrimSpace(member); member == "*" || strings.EqualFold(member, edit.Value) {
					return
				}
			}
		}
		host.AppendHeader(host.Response, edit.Name, edit.Value)
	}
}

type bodyPhase func(chunk *windlass.Chunk) (windlass.BodyVerdict, error)

// pass runs a body phase over the chunks of a body, and returns what it made of them.
func (run *run) pass(
	phase string, mode windlass.BodyMode, chunks []string, call bodyPhase,
) (string, *windlass.LocalResponse) {
	kind, most := windlass.BodyModeOf(mode)
	whole := strings.Join(chunks, "")
	switch {
	case kind == 0:
		return whole, nil
	case kind == 2 && uint64(len(whole)) > most && phase == "request-body":
		return "", windlass.Respond(413, "body_too_large")
	case kind == 2 && uint64(len(whole)) > most:
		return "", windlass.Respond(502, "response_body_too_large")
	case kind == 2 || len(chunks) == 0:
		chunks = []string{whole}
	}
	run.fake.HeadOpen = kind == 2
	var passed strings.Builder
	kept := ""
	for index, chunk := range chunks {
		last := index == len(chunks)-1
		run.fake.Chunk = []byte(kept + chunk)
		given := windlass.ChunkOf(uint64(len(run.fake.Chunk)), last)
		verdict := run.call(phase, func() (any, error) { return call(&given) })
		switch verdict := verdict.(type) {
		case *windlass.LocalResponse:
			return "", verdict
		case *windlass.BodyStep:
			kept = ""
			if verdict == windlass.MoreBytes && !last {
				kept = string(run.fake.Chunk)
				continue
			}
			passed.Write(run.fake.Chunk)
			if verdict == windlass.DoneWithBody {
				passed.WriteString(strings.Join(chunks[index+1:], ""))
				return passed.String(), nil
			}
		}
	}
	return passed.String(), nil
}

func (run *run) end() *Result {
	result, fake := &run.result, run.fake
	result.Status, result.Headers, result.Body = fake.Status, mapOf(fake.Heads[host.Response]), run.sent.String()
	result.Log, result.Problem = fake.Lines, fake.Members
	result.Attributes = map[string]string{}
	for name, value := range fake.Attributes {
		result.Attributes[name] = value.Text
	}
	return result
}
