package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/stack"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// stackChecks check what a deployed stack on AWS consists of.
type stackChecks struct{ *stack.Stack }

// checkStack looks at what the stack consists of, and at what its functions did.
func (r Run) checkStack(ctx context.Context) []Check {
	s := stackChecks{r.App.Stack}
	l := &List{Group: "stack " + s.Stack.Stack}
	s.checkIdentity(ctx, l)
	if s.Broken() {
		l.Warn("deployment", "check its events in CloudFormation, and deploy it again", "%s", s.Status)
	} else {
		l.OK("deployment", "%s", s.Status)
	}
	s.checkTable(ctx, l)
	s.checkFunctions(ctx, l)
	s.checkWeb(ctx, l)
	s.checkDeadLetters(ctx, l)
	r.checkErrors(ctx, l)
	return l.Checks
}

func (s stackChecks) checkIdentity(ctx context.Context, l *List) {
	who, err := s.Identity(ctx)
	if err != nil {
		l.Fail("credentials", "", err)
		return
	}
	l.OK("credentials", "%s in %s", who, s.Region)
}

func (s stackChecks) checkTable(ctx context.Context, l *List) {
	t, err := s.DescribeTable(ctx)
	switch {
	case err != nil:
		l.Fail("table", "", err)
		return
	case !t.Active || !t.Keys:
		l.Fail("table", "deploy the stack with this version", &fault.Error{Op: "look at table " + s.Table, Class: fault.Local,
			Err: fmt.Errorf("it is %s, with the keys %s", t.Status, strings.Join(t.KeyNames, ", "))})
		return
	}
	l.OK("table", "%s is active", s.Table)
	advise := func(name, hint string, on bool, err error, missing string) {
		switch {
		case err != nil:
			l.Skip(name, "%v", err) // only advice: the right to look isn't needed
		case on:
			l.OK(name, "enabled")
		default:
			l.Warn(name, hint, "%s", missing)
		}
	}
	on, err := s.HasTimeToLive(ctx)
	advise("time to live", "deploy the stack again", on, err, "off: records of runs are never deleted")
	on, err = s.HasPointInTimeRecovery(ctx)
	advise("point-in-time recovery", "switch it on for table "+s.Table, on, err,
		"off: if the state is lost, each pair needs a full comparison")
}

func (s stackChecks) checkFunctions(ctx context.Context, l *List) {
	for _, name := range []string{s.Sync, s.Manager, s.Changes, s.Web} {
		if name == "" {
			continue
		}
		problem, err := s.FunctionProblem(ctx, name)
		switch {
		case err != nil:
			l.Fail("function "+name, "", err)
		case problem != "":
			l.Fail("function "+name, "deploy the stack again", errors.New(problem))
		default:
			l.OK("function "+name, "ready")
		}
	}
}

// checkWeb looks at how much requests to the change log's URL can use up: the internet can
// send them.
func (s stackChecks) checkWeb(ctx context.Context, l *List) {
	if s.Web == "" {
		return
	}
	switch n, err := s.ReservedConcurrency(ctx, s.Web); {
	case err != nil:
		l.Skip("requests to the URL", "%v", err) // only advice: the right to look isn't needed
	case n == 0:
		l.Warn("requests to the URL",
			"request more concurrent Lambda executions in Service Quotas and deploy again, or close the URL: journal_url = false under [aws]",
			"they can use up the concurrency of the account, because none is reserved for them")
	default:
		l.OK("requests to the URL", "at most %d at once", n)
	}
}

func (s stackChecks) checkDeadLetters(ctx context.Context, l *List) {
	if s.DeadLetters == "" {
		return
	}
	n, err := s.DeadLetterCount(ctx)
	switch {
	case err != nil:
		l.Fail("dead letters", "", err)
	case n > 0:
		l.Warn("dead letters",
			"chef-sync-ctl manager-log --since 1d; then chef-sync-ctl doctor --purge; later events have superseded them",
			"about %s that no function processed", ui.Plural(n, "event"))
	default:
		l.OK("dead letters", "none")
	}
}

// errorsSince is how far back the logs are searched for errors.
const errorsSince = time.Hour

// checkErrors shows the latest error of the functions.
func (r Run) checkErrors(ctx context.Context, l *List) {
	level, since := slog.LevelError, r.Now().Add(-errorsSince)
	for _, each := range []struct {
		what, command string
		query         logstore.Query
	}{
		{"errors of passes", "sync-log PAIR", logstore.Query{Pairs: app.PairIDs(r.Pairs), Since: since, Level: &level}},
		{"errors of the manager", "manager-log", logstore.Query{Manager: true, Since: since, Level: &level}},
	} {
		lines, err := r.App.LogStore().NewReader(each.query).Lines(ctx)
		switch {
		case err != nil:
			l.Fail(each.what, "", err)
		case len(lines) == 0:
			l.OK(each.what, "none in the last hour")
		default:
			last, hint := lines[len(lines)-1], "chef-sync-ctl "+each.command+" --level error"
			if last.Pair != (replication.PairID{}) {
				hint = strings.Replace(hint, "PAIR", last.Pair.String(), 1)
			}
			l.Warn(each.what, hint, "%d in the last hour, the latest at %s: %s", len(lines), last.Time.UTC().Format("15:04:05Z"), last.Message)
		}
	}
}

// checkFromFunction lets the stack's function look at the servers of one pair of each
// replica: what counts is what it can reach, not this machine.
func (r Run) checkFromFunction(ctx context.Context) []Check {
	l := &List{Group: "as the function sees it"}
	var seen []string
	for _, p := range r.Pairs {
		if slices.Contains(seen, p.ID.Replica) {
			continue
		}
		seen = append(seen, p.ID.Replica)
		answer, err := r.App.Stack.InvokeSync(ctx, cloud.SyncEvent{Pair: p.ID, Task: cloud.TaskDoctor, Trigger: cloud.TriggerManual})
		if err != nil {
			l.Fail("pair "+p.ID.String(), "", err)
			continue
		}
		for _, c := range answer.Checks {
			l.Add(Check{Name: c.Name, State: stateOf(c.Status), Detail: c.Detail, Hint: c.Hint})
		}
	}
	return l.Checks
}

func stateOf(status string) State {
	switch status {
	case cloud.CheckOK:
		return OK
	case cloud.CheckWarning:
		return Warn
	}
	return Fail
}

// fromHere softens what this machine finds of a server: on a stack it needs the servers only
// for plan, diff, verify and run without --remote.
func fromHere(check func(context.Context) []Check) func(context.Context) []Check {
	return func(ctx context.Context) []Check {
		checks := check(ctx)
		for i := range checks {
			checks[i].Group += ", from here"
			if checks[i].State == Fail {
				checks[i].State = Warn
				checks[i].Detail += " (only plan, diff, verify and run --once need it from here)"
			}
		}
		return checks
	}
}
