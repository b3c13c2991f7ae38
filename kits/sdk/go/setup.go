package windlass

import "windlass/internal/host"

// Setup has what a configured filter declares to the gateway.
type Setup struct {
	// Provides has the attributes that the filter always sets when it lets a request pass, Sometimes those that it sets
	// only in some cases, and Requires those that it cannot work without. `windlass check` checks the order of filters
	// by them.
	Provides, Sometimes, Requires []string

	series []series
}

type series struct {
	kind   uint8
	name   string
	labels []string
}

func (setup *Setup) add(kind uint8, name string, labels []string) uint32 {
	setup.series = append(setup.series, series{kind, name, labels})
	return uint32(len(setup.series) - 1)
}

// Counter is a metric series that only grows.
type Counter struct{ index uint32 }

// Counter declares `windlass_filter_NAME`, with these labels. Using it needs the grant `metrics`.
func (setup *Setup) Counter(name string, labels ...string) Counter {
	return Counter{setup.add(0, name, labels)}
}

// Add adds to the series with these values of its labels.
func (counter Counter) Add(value float64, labels ...string) {
	host.MetricsAdd(counter.index, validTexts(labels), value)
}

// Gauge is a metric series that goes up and down.
type Gauge struct{ index uint32 }

// Gauge declares `windlass_filter_NAME`, with these labels. Using it needs the grant `metrics`.
func (setup *Setup) Gauge(name string, labels ...string) Gauge {
	return Gauge{setup.add(1, name, labels)}
}

// Add changes the series with these values of its labels.
func (gauge Gauge) Add(value float64, labels ...string) {
	host.MetricsAdd(gauge.index, validTexts(labels), value)
}

// Histogram is a metric series of observations, in buckets for seconds.
type Histogram struct{ index uint32 }

// Histogram declares `windlass_filter_NAME`, with these labels. Using it needs the grant `metrics`.
func (setup *Setup) Histogram(name string, labels ...string) Histogram {
	return Histogram{setup.add(2, name, labels)}
}

// Observe adds an observation to the series with these values of its labels.
func (histogram Histogram) Observe(value float64, labels ...string) {
	host.MetricsAdd(histogram.index, validTexts(labels), value)
}

// Warn shows a warning at a place of the settings, which are still accepted.
func (setup *Setup) Warn(at, message string) { host.AdviceWarn(at, message) }

// Vouches names a request field that the filter sets from trusted facts.
func (setup *Setup) Vouches(field string) { host.AdviceVouch(field) }

// Clears names a request field that no client can send past this filter.
func (setup *Setup) Clears(field string) { host.AdviceClear(field) }

// Reads names a request field with a `_` that the filter reads.
func (setup *Setup) Reads(field string) { host.AdviceRead(field) }

// AnswersPreflights declares that OnRequest answers the preflights of browsers.
func (setup *Setup) AnswersPreflights() { host.AnswerPreflights() }

// EditResponse gives edits of every response. The gateway makes them, without a call of the filter.
func (setup *Setup) EditResponse(edits ...ResponseEdit) error { return host.EditResponse(edits) }

// SkipsOnResponse declares that OnResponse has nothing to do with these settings.
func (setup *Setup) SkipsOnResponse() { host.SkipOnResponse() }
