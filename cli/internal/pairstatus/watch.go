package pairstatus

import (
	"context"
	"fmt"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
)

// Watch shows a snapshot again and again until ctx ends: on a terminal in its place, else
// one after the other.
func (v View) Watch(ctx context.Context, env *cmdline.Env, every time.Duration, read func(context.Context) (Snapshot, error)) error {
	show := v.showNext
	if screen := screenOf(env.Output()); screen.Lines > 0 && !env.HasDumbTerminal() {
		fmt.Fprint(env.Out, enterScreen)
		defer fmt.Fprint(env.Out, leaveScreen)
		show = v.redraw
	}
	for again := false; ; again = true {
		s, failed := read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case failed != nil && (len(s.Pairs) == 0 || env.Output().IsData()):
			return failed
		}
		if err := show(env, s, watched{every, again, failed}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// watched is what is said of a snapshot that is one of many.
type watched struct {
	every time.Duration
	again bool  // it isn't the first
	err   error // why something could not be read
}

func (w watched) title(s Snapshot) string {
	return fmt.Sprintf("sync-status at %s UTC, every %s", s.At.UTC().Format("2006-01-02 15:04:05"), ui.Span(w.every))
}

// showNext prints a snapshot below the one before.
func (v View) showNext(env *cmdline.Env, s Snapshot, w watched) error {
	switch {
	case env.Format == ui.YAML && w.again:
		fmt.Fprintln(env.Out, "---") // or all times would be one list
	case !env.Output().IsData() && w.again:
		fmt.Fprintln(env.Out)
	}
	if !env.Output().IsData() {
		fmt.Fprintln(env.Out, w.title(s))
	}
	if err := v.Show(env, s); err != nil || w.err == nil {
		return err
	}
	env.Output().Note("Error: %s", w.err)
	return nil
}
