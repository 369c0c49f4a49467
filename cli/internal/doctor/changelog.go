package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
)

// CheckChangeLog looks at the change log of an organization and at its newest scan.
func CheckChangeLog(ctx context.Context, l *List, store changelog.ScanStore, org, space string) {
	head, err := store.Head(ctx, space)
	if err != nil {
		l.Fail(org, "", err)
		return
	}
	if head.Epoch == "" {
		l.OK(org, "not started; the first scan starts it")
	} else if page, err := store.Rows(ctx, space, head.Newest-1, 1); err != nil {
		l.Fail(org, "", err)
	} else if len(page.Rows) == 1 {
		row := page.Rows[0]
		what := "" // the row that begins a change log is no change
		if row.Path != "/" {
			what = ": " + row.Action + " " + row.Path
		}
		l.OK(org, "%s kept, the newest of %s%s", ui.Plural(int(head.Newest-head.Oldest+1), "change"), row.Time.UTC().Format(time.RFC3339), what)
	}
	last, err := store.LastScan(ctx, space)
	switch name := "scan of " + org; {
	case err != nil:
		l.Fail(name, "", err)
	case last.Ended.IsZero():
		l.OK(name, "never, as far as this state knows")
	case last.Failures > 0:
		l.Fail(name, last.Hint, &fault.Error{Op: "scan", Class: last.Class, Hint: last.Hint, Err: errors.New(last.Error)})
	case len(last.Unread) > 0:
		for _, u := range last.Unread {
			l.Fail(name, u.Hint, &fault.Error{Op: "read all of " + u.Kind.ConfigName(), Class: u.Class, Hint: u.Hint,
				Err: errors.New(u.Error)})
		}
	case last.Partial > 0: // noted by an older version
		l.Fail(name, "chef-sync-ctl manager-log", fmt.Errorf("%s of the primary failed", ui.Plural(last.Partial, "read")))
	default:
		l.OK(name, "%s, %s on the primary, %s", last.Ended.UTC().Format(time.RFC3339), ui.Plural(last.Listed, "object"),
			ui.Plural(last.Changes, "change"))
	}
}

// Collector is where pushes of the primary are taken.
type Collector struct {
	Where  string // as it is shown; "" for nowhere
	URL    string // as the primary reaches it
	Token  string // a reference to it; "" for none
	Switch string // what to write to have one
}

// CheckPush says how the primary is told to push its changes (docs/chef-server-api.md §14),
// in lines for its chef-server.rb. The token is named, never shown. The primary
// puts a slash behind the URL by itself.
func CheckPush(l *List, c Collector) {
	const name = "push"
	switch {
	case c.Where == "":
		l.OK(name, "off: changes are found only by scanning. To receive them within seconds, set %s", c.Switch)
		return
	case c.Token == "":
		l.Warn(name, "write token under [journal]", "refused: there is no token")
		return
	}
	l.OK(name, "received on %s. To enable them, add to /etc/opscode/chef-server.rb on the primary\n"+
		"          data_collector['root_url'] = '%s'\n"+
		"and run there, with the content of %s:\n"+
		"          chef-server-ctl set-secret data_collector token 'CONTENT'\n"+
		"          chef-server-ctl reconfigure\n"+
		"A Chef Server before 12.14 has no set-secret; add this to its chef-server.rb instead:\n"+
		"          data_collector['token'] = 'CONTENT'", c.Where, strings.TrimRight(c.URL, "/"), c.Token)
}

// RootURL is how the primary reaches an address of this machine: by the
// machine's name where it listens on every address.
func RootURL(listen string, tls bool) string {
	scheme := "http://"
	if tls {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return scheme + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "THIS-MACHINE"
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return scheme + net.JoinHostPort(host, port)
}
