package send

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"chefsync/pkg/notify"
)

// Command is a program that gets each message as JSON on its standard input.
type Command struct {
	Args    []string // the program and its arguments
	Timeout time.Duration
	Output  io.Writer // receives what the program writes; nil discards it
}

// Send runs the program. It is killed with what it started when its time is up.
func (c Command) Send(ctx context.Context, m notify.Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	cmd.Stdout, cmd.Stderr = c.Output, c.Output
	cmd.WaitDelay = time.Second // a program may leave its input unread
	killGroup(cmd)
	err = cmd.Run()
	name := filepath.Base(c.Args[0])
	var failed *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("run %s: not finished after %s", name, c.Timeout)
	case errors.As(err, &failed):
		return fmt.Errorf("run %s: %s", name, failed.ProcessState)
	}
	return fmt.Errorf("run %s: %w", name, err)
}
