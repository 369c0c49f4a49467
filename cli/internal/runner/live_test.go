package runner

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/pkg/replication"
)

func TestTheLiveLineShowsThatTheDaemonRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		env := cmdline.NewEnv(cmdline.Streams{Err: &b, ErrTTY: true, Now: time.Now, ErrWidth: func() int { return 120 },
			LookupEnv: func(string) (string, bool) { return "", false }})
		l := newLiveLine(env)
		l.setPairs(240)
		stop := l.start()
		shows := func(want string) {
			t.Helper()
			synctest.Wait()
			if _, last, _ := strings.Cut(b.String()[max(0, strings.LastIndex(b.String(), "\r")):], "\x1b[K"); last != want {
				t.Errorf("shows %q, want %q", last, want)
			}
		}
		shows("240 pairs, 0 passes since 00:00:00")
		run := replication.Run{Pair: replication.PairID{Replica: "eu", Org: "a"}, Counts: replication.Counts{Created: 2, Deleted: 1}}
		_, _ = l.watch(func() (replication.Run, error) {
			time.Sleep(90 * time.Second)
			shows("240 pairs, 1 running, 0 passes since 00:00:00")
			return run, nil
		})
		_, err := l.watch(func() (replication.Run, error) { return replication.Run{}, errors.New("x") })
		time.Sleep(3 * time.Second)
		shows("240 pairs, 2 passes since 00:00:00, last 3s ago; last change 3s ago: eu/a 2 created, 1 deleted")
		if err == nil {
			t.Error("the error of the pass is lost")
		}
		stop()
		shows("")
	})
}

func TestWithoutATerminalThereIsNoLiveLine(t *testing.T) {
	var b bytes.Buffer
	env := cmdline.NewEnv(cmdline.Streams{Err: &b, Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false }})
	newLiveLine(env).start()()
	if b.Len() > 0 {
		t.Errorf("wrote %q", b.String())
	}
}
