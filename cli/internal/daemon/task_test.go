package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestATaskGoesOnWhenItFails, and logs that once.
func TestATaskGoesOnWhenItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		start := time.Now()
		var at []time.Duration
		task := Task{First: time.Minute, Every: time.Minute, Failing: "it fails", Do: func(context.Context) error {
			at = append(at, time.Since(start))
			if n := len(at); n == 2 || n == 3 {
				return errors.New("503")
			}
			return nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Second)
		defer cancel()
		task.run(ctx, slog.New(slog.NewTextHandler(&log, nil)))
		if len(at) != 5 || at[0] != time.Minute || at[4] != 5*time.Minute {
			t.Errorf("done at %v, want once a minute", at)
		}
		if n := strings.Count(log.String(), `level=WARN msg="it fails" error=503`); n != 1 || strings.Count(log.String(), "\n") != 2 {
			t.Errorf("logged:\n%s\nwant that it fails and that it works again, once each", log.String())
		}
	})
}
