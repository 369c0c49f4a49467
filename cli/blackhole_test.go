package cli

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
)

// blackHole is a server that accepts connections and never answers.
type blackHole struct {
	url string
	mu  sync.Mutex
	at  []time.Time // of connections
}

func startBlackHole(t *testing.T) *blackHole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	b := &blackHole{url: "http://" + l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.at = append(b.at, time.Now())
			b.mu.Unlock()
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return b
}

func (b *blackHole) connections() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.at)
}

const blackHoleConfig = `[primary]
url = %q
user = "sync"
key = "file:primary.pem"
[[replica]]
name = "hole"
url = %q
user = "sync"
key = "file:good.pem"
%s
[[replica]]
name = "good"
url = %q
user = "sync"
key = "file:good.pem"
[state]
path = "state.db"
[stage]
path = "stage"
`

// TestAChangeReachesAReplicaBesideABlackHole: ten organizations go to a replica that
// works and to one that never answers, which is given an hour for each request. All
// changes of all organizations reach the former while the first requests to the
// latter still wait.
//
// With CHEFSYNC_MEASURE=ROUNDS, and CHEFSYNC_BINARY=FILE for a program that was
// built, the timeouts are those by default, and the times are logged.
func TestAChangeReachesAReplicaBesideABlackHole(t *testing.T) {
	const orgs = 10
	rounds, interval, tolerance := 2, "1s", `response_timeout = "1h"`
	if n, err := strconv.Atoi(os.Getenv("CHEFSYNC_MEASURE")); err == nil {
		rounds, interval, tolerance = n, "2s", ""
	}
	dir := t.TempDir()
	hole, primary, good := startBlackHole(t), cheftest.Start(t, cheftest.Options{UpdatedSince: true}), cheftest.Start(t)
	text := fmt.Sprintf(blackHoleConfig, primary.URL, hole.url, tolerance, good.URL)
	for name, s := range map[string]*cheftest.Server{"primary": primary, "good": good} {
		putFile(t, filepath.Join(dir, name+".pem"), cheftest.PrivatePEM(s.AddUser("sync")))
		for i := range orgs {
			s.AddOrg(fmt.Sprintf("org%d", i)).Associate("sync")
		}
	}
	for i := range orgs {
		text += fmt.Sprintf("[[organization]]\nsource = \"org%d\"\ninterval = %q\n", i, interval)
	}
	putFile(t, filepath.Join(dir, "chef-sync.toml"), []byte(text))
	daemon := exec.Command(cmp.Or(os.Getenv("CHEFSYNC_BINARY"), "chef-sync-ctl"), "run", "--log-format", "json")
	daemon.Dir = dir
	daemon.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "HOME="+dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	daemon.Stderr = log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill() })

	var took []time.Duration
	for round := range rounds {
		took = append(took, changeAll(t, primary, good, orgs, round)...)
	}
	began := time.Now()
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	slices.Sort(took)
	part := func(share float64) time.Duration {
		return took[int(share*float64(len(took)-1))].Round(time.Millisecond)
	}
	t.Logf("%d changes: half within %v, 99 %% within %v, all within %v; connections to the black hole: %s; SIGTERM to the end: %v",
		len(took), part(0.5), part(0.99), part(1), spread(hole.connections()), time.Since(began).Round(time.Millisecond))
	if os.Getenv("CHEFSYNC_MEASURE") != "" {
		show(t, dir)
	}
}

// changeAll changes a role of every organization and waits until all replicas have
// it. It returns how long each took.
func changeAll(t *testing.T, primary, good *cheftest.Server, orgs, round int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, orgs)
	var all sync.WaitGroup
	for i := range orgs {
		all.Go(func() {
			name := fmt.Sprintf("org%d", i)
			time.Sleep(time.Duration(i) * 17 * time.Millisecond) // not all at the same time
			primary.Org(name).PutRole("web", fmt.Sprintf(`{"description":"round %d"}`, round))
			want, began := primary.Org(name).Snapshot()["/roles/web"], time.Now()
			for good.Org(name).Snapshot()["/roles/web"] != want {
				if took[i] = time.Since(began); took[i] > 2*time.Minute {
					t.Errorf("round %d of %s hasn't reached the good replica", round, name)
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return took
}

// spread shows when connections came, in seconds after the first.
func spread(at []time.Time) string {
	var words []string
	for _, c := range at {
		words = append(words, strconv.Itoa(int(c.Sub(at[0]).Round(time.Second).Seconds())))
	}
	return fmt.Sprintf("%d, at seconds %s", len(at), strings.Join(words, " "))
}

func putFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// show prints what an operator sees after a measured run.
func show(t *testing.T, dir string) {
	t.Helper()
	status := exec.Command(cmp.Or(os.Getenv("CHEFSYNC_BINARY"), "chef-sync-ctl"), "sync-status")
	status.Dir = dir
	out, err := status.CombinedOutput()
	t.Logf("sync-status: %v\n%s", err, out)
}
