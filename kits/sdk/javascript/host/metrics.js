// The filter's own series. `configure` declares them: `setup.counter("checks", ["result"])` returns the index.

import metrics from "windlass:host/metrics";

const NO_LABELS = Object.freeze([]);

const calls = {
  add: (series, value = 1, labels = NO_LABELS) => metrics.add(series, labels, value),
};

export { calls as metrics };
