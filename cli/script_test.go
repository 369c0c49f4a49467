package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/cli/internal/demo"
	"chefsync/pkg/chef/cheftest"
)

// sitesKey is where a script's servers are kept.
type sitesKey struct{}

// sites are the Chef Servers of one script.
type sites struct {
	servers map[string]*cheftest.Server
	fault   *cheftest.FaultHandle // the last one

	receiver *httpReceiver
}

// chefCommand is what scripts do to Chef Servers, behind the program's back:
//
//	chef start NAME [feed] [orgless] [unknown-empty]   run a server; $NAME_URL is its URL
//	chef pair ORG [feed]             servers primary and eu with ORG, keys, and chef-sync.toml
//	chef org NAME ORG                an organization
//	chef user NAME USER ORG KEYFILE  a member of ORG; or an admin with "admin" at the end
//	chef client NAME CLIENT KEYFILE  of a server without organizations
//	chef pivotal NAME KEYFILE        the superuser's key
//	chef fill NAME ORG               some forty objects
//	chef put NAME ORG PATH JSON      a role, environment or item
//	chef cookbook NAME ORG COOKBOOK VERSION
//	chef frozen NAME ORG COOKBOOK VERSION TEXT   a frozen one, over what there was
//	chef lose NAME ORG TEXT          the content of a cookbook file is gone from the file store
//	chef delete NAME ORG PATH
//	chef expel NAME USER ORG
//	chef many NAME ORG N             N more roles; chef none NAME ORG deletes all roles
//	chef fault NAME METHOD PATH STATUS   METHOD * is any
//	chef slow NAME PATH DURATION     answers take longer
//	chef await NAME                  wait until a fault has struck
//	chef heal NAME                   no faults any more
//	chef stop NAME                   cut connections; the address stays taken
//	chef same NAME NAME ORG          both hold the same (or not, with !)
//	chef writes NAME N               N writes since the last reset took effect
//	chef reset NAME
func chefCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(sitesKey{}).(*sites)
	if len(args) < 2 {
		ts.Fatalf("usage: chef VERB NAME ...")
	}
	verb, name, rest := args[0], args[1], args[2:]
	switch verb {
	case "start":
		s.start(ts, name, rest)
		return
	case "pair":
		s.pair(ts, name, rest)
		return
	}
	server := s.servers[name]
	if server == nil {
		ts.Fatalf("no server %s", name)
	}
	switch verb {
	case "org":
		server.AddOrg(rest[0])
	case "user":
		key := server.AddUser(rest[0])
		server.Org(rest[1]).Associate(rest[0])
		if slices.Contains(rest[3:], "admin") {
			server.Org(rest[1]).AddToGroup("admins", rest[0])
		}
		writeFile(ts, rest[2], cheftest.PrivatePEM(key))
	case "client":
		writeFile(ts, rest[1], cheftest.PrivatePEM(server.Org(strings.Join(rest[2:], "")).AddClient(rest[0])))
	case "pivotal":
		_, key := server.Superuser()
		writeFile(ts, rest[0], cheftest.PrivatePEM(key))
	case "fill":
		demo.Fill(server.Org(rest[0]))
	case "put":
		put(ts, server.Org(rest[0]), rest[1], rest[2])
	case "cookbook":
		server.Org(rest[0]).PutCookbook(rest[1], rest[2], map[string][]byte{"recipes/default.rb": []byte(rest[2])}, false)
	case "frozen":
		server.Org(rest[0]).PutCookbook(rest[1], rest[2], map[string][]byte{"recipes/default.rb": []byte(rest[3])}, true)
	case "lose":
		server.Org(rest[0]).LoseContent(cheftest.MD5([]byte(rest[1])))
	case "delete":
		remove(ts, server.Org(rest[0]), rest[1])
	case "expel":
		server.Org(rest[1]).Dissociate(rest[0])
	case "many":
		n, err := strconv.Atoi(rest[1])
		ts.Check(err)
		for i := range n {
			server.Org(rest[0]).PutRole(fmt.Sprintf("many%d", i), `{}`)
		}
	case "none":
		for path := range server.Org(rest[0]).Snapshot() {
			if strings.HasPrefix(path, "/roles/") {
				remove(ts, server.Org(rest[0]), path)
			}
		}
	case "fault":
		status, err := strconv.Atoi(rest[2])
		ts.Check(err)
		s.fault = server.Fault(cheftest.Fault{Method: strings.Trim(rest[0], "*"), Path: rest[1], Status: status})
	case "slow":
		delay, err := time.ParseDuration(rest[1])
		ts.Check(err)
		s.fault = server.Fault(cheftest.Fault{Path: rest[0], Delay: delay})
	case "await":
		for give := time.After(time.Minute); s.fault.Hits() == 0; {
			select {
			case <-give:
				ts.Fatalf("no request met the fault")
			case <-time.After(10 * time.Millisecond):
			}
		}
	case "heal":
		server.ClearFaults()
	case "stop":
		server.Stop()
	case "same":
		same(ts, neg, server.Org(rest[1]), s.servers[rest[0]].Org(rest[1]))
	case "writes":
		writes := server.Requests().Writes().Filter(func(r cheftest.Request) bool { return r.Status < 300 })
		if n := len(writes); strconv.Itoa(n) != rest[0] {
			ts.Fatalf("%d writes, want %s: %v", n, rest[0], writes)
		}
	case "reset":
		server.ResetRequests()
	default:
		ts.Fatalf("unknown verb %s", verb)
	}
}

func (s *sites) start(ts *testscript.TestScript, name string, words []string) {
	server, err := cheftest.Listen("127.0.0.1:0", cheftest.Options{
		UpdatedSince: slices.Contains(words, "feed"),
		Orgless:      slices.Contains(words, "orgless"),
		EmptyUnknown: slices.Contains(words, "unknown-empty"),
	})
	ts.Check(err)
	ts.Defer(server.Close)
	if s.servers == nil {
		s.servers = map[string]*cheftest.Server{}
	}
	s.servers[name] = server
	ts.Setenv(strings.ToUpper(name)+"_URL", server.URL)
}

// pairConfig is the configuration of chef pair.
const pairConfig = `[primary]
url = %q
user = "sync"
key = "file:primary.pem"
[[replica]]
name = "eu"
url = %q
user = "sync"
key = "file:eu.pem"
[[organization]]
source = %q
interval = "1s"
[state]
path = "state.db"
`

func (s *sites) pair(ts *testscript.TestScript, org string, words []string) {
	for _, name := range []string{"primary", "eu"} {
		s.start(ts, name, words)
		s.servers[name].AddOrg(org)
		key := s.servers[name].AddUser("sync")
		s.servers[name].Org(org).Associate("sync")
		writeFile(ts, name+".pem", cheftest.PrivatePEM(key))
	}
	writeFile(ts, "chef-sync.toml", fmt.Appendf(nil, pairConfig, s.servers["primary"].URL, s.servers["eu"].URL, org))
	if d, onStack := ts.Value(stackKey{}).(*deployment); onStack {
		d.configure(ts, "chef-sync.toml")
	}
}

func put(ts *testscript.TestScript, o *cheftest.Org, path, text string) {
	switch parts := strings.Split(strings.Trim(path, "/"), "/"); {
	case parts[0] == "roles":
		o.PutRole(parts[1], text)
	case parts[0] == "environments":
		o.PutEnvironment(parts[1], text)
	case parts[0] == "data" && len(parts) == 3:
		o.PutDataBagItem(parts[1], parts[2], text)
	case parts[0] == "data":
		o.PutDataBag(parts[1])
	default:
		ts.Fatalf("can't put %s", path)
	}
}

func remove(ts *testscript.TestScript, o *cheftest.Org, path string) {
	switch parts := strings.Split(strings.Trim(path, "/"), "/"); {
	case parts[0] == "roles":
		o.DeleteRole(parts[1])
	case parts[0] == "environments":
		o.DeleteEnvironment(parts[1])
	case parts[0] == "data" && len(parts) == 3:
		o.DeleteDataBagItem(parts[1], parts[2])
	case parts[0] == "data":
		o.DeleteDataBag(parts[1])
	case parts[0] == "cookbooks":
		o.DeleteCookbook(parts[1], parts[2])
	default:
		ts.Fatalf("can't delete %s", path)
	}
}

func same(ts *testscript.TestScript, neg bool, a, b *cheftest.Org) {
	left, right := a.Snapshot(), b.Snapshot()
	var differ []string
	for path, body := range left {
		if right[path] != body {
			differ = append(differ, path)
		}
	}
	for path := range right {
		if _, ok := left[path]; !ok {
			differ = append(differ, path)
		}
	}
	if neg == (len(differ) == 0) {
		ts.Fatalf("different objects: %v", differ)
	}
}

// hupCommand sends SIGHUP to the program that runs in the background.
func hupCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: hup")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// portsCommand checks that a daemon listened on one address all the time.
func portsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ports stderr")
	}
	all := regexp.MustCompile(`"address":"[^"]+"`).FindAllString(ts.ReadFile(args[0]), -1)
	if len(all) == 0 || len(slices.Compact(slices.Clone(all))) != 1 {
		ts.Fatalf("addresses %v, want always the same", all)
	}
}

// httpCommand asks a server of the program:
//
//	http address NAME            $NAME is a free address of this machine
//	http CODE URL [TOKEN]        get URL until the answer has the code; its body is stdout
//	http METHOD CODE URL         another method
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: http address NAME, or: http [METHOD] CODE URL [TOKEN]")
	}
	if args[0] == "address" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(args[1], l.Addr().String())
		ts.Check(l.Close())
		return
	}
	method := http.MethodGet
	if args[0] == strings.ToUpper(args[0]) && args[0] > "A" {
		method, args = args[0], args[1:]
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var last string
	for give := time.Now().Add(time.Minute); time.Now().Before(give); time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(method, args[1], http.NoBody)
		ts.Check(err)
		if len(args) > 2 {
			req.Header.Set("Authorization", "Bearer "+args[2])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if last = fmt.Sprintf("%s: %s", resp.Status, body); resp.StatusCode == want {
			fmt.Fprintf(ts.Stdout(), "%s", body)
			return
		}
	}
	ts.Fatalf("%s %s: no %d within a minute; last: %s", method, args[1], want, last)
}

// codeCommand runs the program and checks its exit code: code 6 diff acme.
func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: code N [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("chef-sync-ctl", args[1:]...)
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// untilCommand runs the program again and again until its stdout matches:
// until PATTERN manager-log. It gives up after a minute.
func untilCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN ARGS...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for give := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec("chef-sync-ctl", args[1:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(give) {
			ts.Fatalf("nothing matches %s", args[0])
		}
	}
}

// goldenCommand compares stdout or stderr with a file, after replacing what
// changes from run to run: times, ids, ports, folders. With the environment
// variable UPDATE_GOLDEN the differences are shown as the text to paste.
func goldenCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: golden stdout|stderr FILE")
	}
	got := steady(ts, ts.ReadFile(args[0]))
	want := ts.ReadFile(args[1])
	if got != want {
		ts.Fatalf("%s differs from %s; it is now:\n%s", args[0], args[1], got)
	}
}

func steady(ts *testscript.TestScript, text string) string {
	text = strings.ReplaceAll(text, ts.Getenv("WORK"), "$WORK")
	for _, r := range []struct{ pattern, with string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`(\d{4}-\d\d-\d\d )?\b\d\d:\d\d:\d\d\b`, "hh:mm:ss"},
		{`\b(now|(\d+[smh])+ ago)  +`, "AGO "},
		{`\bin (\d+[smh])+ +`, "IN "},
		{`\b\d{8}T\d{6}\.\d{3}Z-\d+\b`, "RUN-ID"},
		{`(TOOK|\b\d+(\.\d+)?m?s\b) +`, "TOOK "},
		{`\b\d+(\.\d+)?m?s\b`, "SPAN"},
		{`127\.0\.0\.1:\d+`, "HOST"},
		{`"run": "[^"]+"`, `"run": "RUN"`},
		{`"lag_seconds": \d+`, `"lag_seconds": 0`},
		{`(min_time|took)": "[^"]+"`, `$1": "SPAN"`},
		{`[0-9a-f]{64}`, "FINGERPRINT"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func writeFile(ts *testscript.TestScript, name string, content []byte) {
	path := ts.MkAbs(name)
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, content, 0o600))
}
