package windlass

import "time"

// RequestVerdict is the decision of OnRequest: Next, Route or Respond.
type RequestVerdict interface{ requestVerdict() }

// ResponseVerdict is the decision of OnResponse: Next, or Respond, which replaces the response.
type ResponseVerdict interface{ responseVerdict() }

// BodyVerdict is the decision of a body phase: NextChunk, MoreBytes, DoneWithBody or Respond.
type BodyVerdict interface{ bodyVerdict() }

// BodyMode is how the filter gets the body of the current message.
type BodyMode struct {
	kind uint8
	max  uint64
}

var (
	// SkipBody: the body never enters the filter, and costs nothing.
	SkipBody = BodyMode{}
	// Chunks: one call of the body phase for each chunk, as it arrives.
	Chunks = BodyMode{kind: 1}
)

// WholeBody asks for one call with the whole body, up to so many bytes; the operator's `limits.body` caps it. The
// gateway holds the head back until then, so that it can still be edited.
func WholeBody(max uint64) BodyMode {
	return BodyMode{kind: 2, max: max}
}

// HeadNext is the verdict of Next.
type HeadNext struct{ mode BodyMode }

func (*HeadNext) requestVerdict()  {}
func (*HeadNext) responseVerdict() {}

var (
	nextSkip   = &HeadNext{SkipBody}
	nextChunks = &HeadNext{Chunks}
)

// Next goes on with the chain, and says how the filter gets the body. A mode other than SkipBody needs the body phase.
func Next(body BodyMode) *HeadNext {
	switch body {
	case SkipBody:
		return nextSkip
	case Chunks:
		return nextChunks
	default:
		return &HeadNext{body}
	}
}

// Hint has a filter's preferences for the upstream and the endpoint. All parts are optional; the balancer decides.
type Hint struct {
	// Upstream is the name of an upstream in the configuration, which must be granted.
	Upstream string
	// Labels restrict the pick to endpoints that have all of them.
	Labels map[string]string
	// Affinity is a stickiness key, for balancer policies that pick by a key.
	Affinity string
	// Timeout lowers the upstream's first-byte time-out.
	Timeout time.Duration
}

// HeadRoute is the verdict of Route.
type HeadRoute struct {
	hint Hint
	mode BodyMode
}

func (*HeadRoute) requestVerdict() {}

// Route goes on with the chain, with a hint to the balancer.
func Route(hint Hint, body BodyMode) *HeadRoute {
	return &HeadRoute{hint, body}
}

// LocalResponse is a response that the filter gives in place of the upstream's.
type LocalResponse struct {
	// Status is 200 to 599.
	Status int
	// Reason is a short stable word in snake_case, for logs and metrics. If the status is 400 or more and the body is
	// empty, the gateway writes a body in the error style of the API, with this word as its code.
	Reason string
	// Fields are the header fields. Framing fields (`content-length` and the like) belong to the gateway.
	Fields []Field
	Body   []byte
}

func (*LocalResponse) requestVerdict()  {}
func (*LocalResponse) responseVerdict() {}
func (*LocalResponse) bodyVerdict()     {}

// Respond answers the client. In OnResponse it replaces the response.
func Respond(status int, reason string) *LocalResponse {
	return &LocalResponse{Status: status, Reason: reason}
}

// WithHeader adds a field.
func (response *LocalResponse) WithHeader(name, value string) *LocalResponse {
	response.Fields = append(response.Fields, Field{Name: name, Value: value})
	return response
}

// WithBody sets the body.
func (response *LocalResponse) WithBody(body []byte) *LocalResponse {
	response.Body = body
	return response
}

// BodyStep is a verdict of a body phase.
type BodyStep struct{ tag uint8 }

func (*BodyStep) bodyVerdict() {}

var (
	// NextChunk forwards the chunk in its current form.
	NextChunk = &BodyStep{0}
	// MoreBytes keeps the chunk in the gateway, and passes it again joined with the next one.
	MoreBytes = &BodyStep{1}
	// DoneWithBody forwards the chunk and everything after it without further calls.
	DoneWithBody = &BodyStep{2}
)
