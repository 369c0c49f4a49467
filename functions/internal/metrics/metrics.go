// Package metrics writes metrics into the log in CloudWatch's embedded metric
// format, so that a metric costs a log line and no request. There is one
// dimension, the stack: what concerns one pair is in the logs and in the table,
// where it costs nothing extra.
package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/cloud"
)

// Unit is a unit as CloudWatch knows it.
type Unit string

// The units in use.
const (
	Count        Unit = "Count"
	Bytes        Unit = "Bytes"
	Seconds      Unit = "Seconds"
	Milliseconds Unit = "Milliseconds"
)

// Value is one metric.
type Value struct {
	Number float64
	Unit   Unit
}

// Writer writes metrics of one stack. It is safe for concurrent use.
type Writer struct {
	Out   io.Writer
	Stack string

	mu sync.Mutex
}

type definition struct {
	Name string `json:"Name"`
	Unit Unit   `json:"Unit"`
}

// Write writes values by their names as one line. No value is no line.
func (w *Writer) Write(at time.Time, values map[string]Value) error {
	if len(values) == 0 {
		return nil
	}
	line := map[string]any{cloud.MetricDimension: w.Stack}
	var defined []definition
	for _, name := range slices.Sorted(maps.Keys(values)) {
		line[name] = values[name].Number
		defined = append(defined, definition{name, values[name].Unit})
	}
	line["_aws"] = map[string]any{
		"Timestamp": at.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": cloud.MetricNamespace, "Dimensions": [][]string{{cloud.MetricDimension}}, "Metrics": defined,
		}},
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.Out.Write(append(text, '\n'))
	return err
}
