package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// Run checks some pairs, and what they need.
type Run struct {
	App   *app.App
	Pairs []app.Pair
	Some  bool // they were selected: a stack itself is left out
	Now   func() time.Time
}

// Checks returns the results of all checks, those of the configuration first. On a stack,
// the servers are checked as its function sees them and as this machine does.
func (r Run) Checks(ctx context.Context, conf *List) []Check {
	replicas := r.replicas()
	conf.OK("pairs", "%s, each destination in one pair only", ui.Plural(len(r.App.Pairs()), "pair"))
	for _, w := range r.App.Warnings() {
		conf.Warn("look", "", "%s", w)
	}
	keys := map[string]string{"primary": r.App.Primary.Key.String()}
	for _, s := range replicas {
		keys["replica "+s.Name] = s.Key.String()
	}
	CheckKeyFiles(conf, keys)

	groups := []func(context.Context) []Check{r.checkProcesses}
	if r.App.Stack != nil && !r.Some {
		groups = append(groups, r.checkStack)
	}
	if r.App.Stack != nil {
		groups = append(groups, r.checkFromFunction)
	}
	for _, s := range append([]config.Server{r.App.Primary}, replicas...) {
		check := r.newServer(ctx, s).Check
		if r.App.Stack != nil {
			check = fromHere(check)
		}
		groups = append(groups, check)
	}
	return append(conf.Checks, All(ctx, append(groups, r.checkRecords)...)...)
}

// replicas are the replicas that the pairs are about; all of them for all pairs.
func (r Run) replicas() []config.Server {
	return slices.DeleteFunc(slices.Clone(r.App.Replicas), func(s config.Server) bool {
		return len(r.Pairs) < len(r.App.Pairs()) && !slices.ContainsFunc(r.Pairs, func(p app.Pair) bool { return p.ID.Replica == s.Name })
	})
}

// newServer returns the checks of a server of the pairs.
func (r Run) newServer(ctx context.Context, s config.Server) *Server {
	client, problem := r.App.Client(ctx, s)
	prober, err := r.App.NewHTTPClient(ctx, s)
	if err != nil {
		prober, problem = http.DefaultClient, err
	}
	server := &Server{
		Group: "replica " + s.Name, Side: prepare.Replica, User: s.User, Client: client, Problem: problem,
		KeyMissing: s.Key.Scheme == "file" && errors.Is(problem, fs.ErrNotExist),
		Key:        r.App.KeyStore(ctx, s), Prober: prober, URL: s.URL, Now: r.Now, Kinds: map[string][]object.Kind{},
	}
	if s.Name == r.App.Primary.Name {
		server.Group, server.Side, server.Feed = "primary", prepare.Primary, r.App.DescribeFeed
	}
	for _, p := range r.Pairs {
		org := p.ID.Org
		if server.Side == prepare.Primary {
			org = p.SourceOrg
		}
		if !slices.Contains(server.Orgs, org) && (server.Side == prepare.Primary || p.ID.Replica == s.Name) {
			server.Orgs = append(server.Orgs, org)
			server.Kinds[org] = app.KindsOf(r.Pairs, server.Side, s, org)
		}
	}
	return server
}

// checkRecords looks at what is kept on this machine or on the stack: state, stage, change
// logs, and what the state remembers.
func (r Run) checkRecords(ctx context.Context) []Check {
	l := &List{Group: "this machine"}
	if r.App.Stack != nil {
		l.Group = "stack"
	} else {
		CheckFolder(l, "stage", r.App.StagePath, Warn) // files go directly to the replicas then
		CheckFolder(l, "state folder", filepath.Dir(r.App.StatePath), Fail)
	}
	switch _, err := r.App.State(ctx); {
	case err != nil:
		l.Fail("state", "", err)
		return l.Checks
	case r.App.Stack == nil:
		l.OK("state", "%s, schema %d", r.App.StatePath, replication.SchemaVersion)
	}
	return slices.Concat(l.Checks, r.checkChangeLogs(ctx), r.checkNotifications(ctx), r.checkPairs(ctx))
}

// checkChangeLogs looks at the change logs and at what fills them. There is nothing to look
// at while the primary serves its changes.
func (r Run) checkChangeLogs(ctx context.Context) []Check {
	l := &List{Group: "journal"}
	store, err := r.App.ChangeLogs(ctx)
	if err != nil {
		l.Fail("journal", "", err)
		return l.Checks
	}
	for _, s := range r.App.Sources() {
		if slices.ContainsFunc(r.Pairs, func(p app.Pair) bool { return p.SourceOrg == s.Org }) && r.readsChangeLog(ctx, s) {
			CheckChangeLog(ctx, l, store, s.Org, s.Space)
		}
	}
	if len(l.Checks) > 0 {
		CheckPush(l, r.collector())
	}
	return l.Checks
}

// readsChangeLog reports whether the changes of a source are found by its change log. If the
// primary can't be asked from here, what its pairs read last decides.
func (r Run) readsChangeLog(ctx context.Context, s assembly.Source) bool {
	needed, err := r.App.NeedsChangeLog(ctx, s.Org)
	if err == nil {
		return needed
	}
	return slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool {
		st, err := r.App.PairState(ctx, id)
		return err == nil && st.Progress.Feed == changelog.Name
	})
}

// collector is where the primary's changes are taken: by the URL of a stack, or on an
// address of this machine.
func (r Run) collector() Collector {
	c := Collector{Token: r.App.ChangeLog.Token.String(), Switch: "listen and token under [journal]"}
	if r.App.Stack != nil {
		c.Switch = "token under [journal], and deploy"
		c.Where, c.URL = r.App.Stack.ChangesURL, r.App.Stack.ChangesURL
	} else if j := r.App.ChangeLog; j.Listen != "" {
		c.Where, c.URL = j.Listen, RootURL(j.Listen, j.TLSCert != "")
	}
	return c
}
