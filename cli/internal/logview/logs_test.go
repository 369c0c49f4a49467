package logview

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/ui"
)

// growingLog has no lines when it is first looked at, then one at each look.
type growingLog struct {
	looks, lines int
	end          func()
}

func (l *growingLog) Lines(context.Context) ([]logstore.Line, error) {
	switch l.looks++; {
	case l.looks == 1:
		return []logstore.Line{}, nil
	case l.looks > l.lines+1:
		l.end()
		return []logstore.Line{}, nil
	}
	return []logstore.Line{{ID: int64(l.looks), Message: "line"}}, nil
}

func (*growingLog) Window() time.Duration { return 0 }

func (*growingLog) PollInterval() time.Duration { return time.Millisecond }

func TestFollowingALogThatBeginsEmptyIsOneStream(t *testing.T) {
	for _, format := range []ui.Format{ui.YAML, ui.JSON} {
		ctx, cancel := context.WithCancel(t.Context())
		var b bytes.Buffer
		log := &growingLog{lines: 2, end: cancel}
		if err := followLog(ctx, &ui.Output{Out: &b, Format: format, Now: time.Now}, log); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if format == ui.JSON { // a line is an object: the list is ours
			text = "[" + strings.ReplaceAll(strings.TrimSpace(text), "\n", ",") + "]"
		}
		var lines []struct{ Msg string }
		if err := yaml.Unmarshal([]byte(text), &lines); err != nil || len(lines) != 2 || lines[1].Msg != "line" {
			t.Errorf("%s: error %v, lines %v of\n%s", format, err, lines, b.String())
		}
	}
}
