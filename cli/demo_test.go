package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/cmdline"
)

// What demo --serve prints works: both servers can be changed without a signature, a change
// of the primary reaches the replica, the status page answers, and nothing is left behind.
func TestDemoServesUntilItIsInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer w.Close()
		code <- executeArgs(ctx, []string{"demo", "--serve"}, cmdline.Streams{
			In: strings.NewReader(""), Out: w, Err: w, Now: time.Now, LookupEnv: os.LookupEnv,
		})
	}()
	config, api, page := "", "", ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if _, path, ok := strings.Cut(line, "export CHEF_SYNC_CONFIG="); ok {
			config = path
		}
		if url := regexp.MustCompile(`^  curl (http://[^/]+)/primary/`).FindStringSubmatch(line); url != nil {
			api = url[1]
		}
		if _, url, ok := strings.Cut(line, "status page  "); ok {
			page = url
		}
		if strings.Contains(line, "serving the status") {
			break
		}
	}
	if config == "" || api == "" || page == "" {
		t.Fatalf("config %q, API %q and status page %q are printed", config, api, page)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the command
	if !strings.Contains(request(t, http.MethodGet, page+"/", ""), "engineering") {
		t.Error("the status page doesn't show the organization")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(config), "knife-eu.rb")); err != nil {
		t.Error(err)
	}
	request(t, http.MethodPut, api+"/primary/roles/web", `{"description":"changed by hand"}`)
	for !strings.Contains(request(t, http.MethodGet, api+"/eu/roles/web", ""), "changed by hand") {
		if ctx.Err() != nil {
			t.Fatal("the change doesn't reach the replica")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if got := request(t, http.MethodGet, api+"/eu/roles/none", ""); !strings.Contains(got, "404") {
		t.Errorf("a role that doesn't exist: %q", got)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("%d files are left behind, such as %s", len(left), left[0].Name())
	}
}

// request returns the body of an answer.
func request(t *testing.T, method, url, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
