package cmdline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]exit.Code{"y\n": exit.OK, "YES\n": exit.OK, "\n": exit.Failed, "no\n": exit.Failed, "": exit.Failed} {
		var asked bytes.Buffer
		env := &cmdline.Env{Streams: cmdline.Streams{In: strings.NewReader(answer), InTTY: true, Err: &asked}}
		err := env.Confirm(t.Context(), false, "Delete all of it")
		if exit.Of(err) != want || asked.String() != "Delete all of it? [y/N] " {
			t.Errorf("%q: asked %q, %v; want code %d", answer, &asked, err, want)
		}
	}
}

// A question that waits for its answer ends with an interruption.
func TestConfirmEndsWithItsContext(t *testing.T) {
	in, open := io.Pipe()
	defer open.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := &cmdline.Env{Streams: cmdline.Streams{In: in, InTTY: true, Err: io.Discard}}
	if err := env.Confirm(ctx, false, "Delete all of it"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
