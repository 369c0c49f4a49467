package schedule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// Pair is what a schedule must know of a pair.
type Pair struct {
	ID       replication.PairID
	Interval time.Duration // between polls
	Stopped  bool          // by an operator: its schedule is disabled
}

// Source is an organization of the primary that the journal scans.
type Source struct {
	Name     string
	Interval time.Duration // between scans
}

// Schedule is a schedule as it should be. All fields but Of are what AWS keeps of
// it; everything else about it is the same for all.
type Schedule struct {
	Name        string
	Of          string // what it is for, as messages say it: "pair eu/acme"
	Description string
	Minutes     int // between two events
	Enabled     bool
	Input       string // the event, as JSON
	Target      string // ARN of the function
	Role        string // ARN of the role that the service invokes it with
	DeadLetters string // ARN of the queue of events that it could not deliver
}

// The first part of the names of our schedules. Everything else in the group is
// somebody else's and left alone.
const (
	pairPrefix   = "sync-"
	sourcePrefix = "scan-"
)

// maxName is how long a schedule's name may be.
const maxName = 64

// ours matches the names that PairName and SourceName give.
var ours = regexp.MustCompile(`^(sync|scan)-[0-9a-zA-Z._-]*-[0-9a-f]{8}$`)

// unfit are the characters that a schedule's name can't have.
var unfit = regexp.MustCompile(`[^0-9a-zA-Z._-]+`)

// PairName is the name of the schedule of a pair, such as
// sync-eu-acme-1a2b3c4d. It is always the same for the same pair.
func PairName(id replication.PairID) string {
	return name(pairPrefix, id.Replica+"-"+id.Org, id.String())
}

// SourceName is the name of the schedule that scans a source organization.
func SourceName(source string) string { return name(sourcePrefix, source, source) }

// name joins a readable part, cut where needed, and a hash that tells apart what
// is cut, or joined, to the same text.
func name(prefix, readable, identity string) string {
	sum := sha256.Sum256([]byte(prefix + identity))
	hash := "-" + hex.EncodeToString(sum[:4])
	readable = unfit.ReplaceAllString(readable, "-")
	readable = readable[:min(len(readable), maxName-len(prefix)-len(hash))]
	return prefix + readable + hash
}

// Desired returns the schedules that the pairs and sources of a stack need, pairs
// first, and warnings for a person about intervals that a schedule can't have.
//
// A schedule has whole minutes, and at least one. An interval is rounded down to
// whole minutes, so that nothing is looked at less often than asked for, and one
// below a minute is raised to a minute.
func Desired(stack cloud.Resources, pairs []Pair, sources []Source) (all []Schedule, warnings []string, err error) {
	if err := complete(stack, len(sources) > 0); err != nil {
		return nil, nil, err
	}
	var errs []error
	add := func(s Schedule, interval time.Duration, event any) {
		var rounded bool
		if s.Minutes, rounded = minutes(interval); rounded {
			warnings = append(warnings, fmt.Sprintf("%s: the interval %s becomes %s; a schedule has whole minutes, at least one", s.Of, interval, every(s.Minutes)))
		}
		input, err := json.Marshal(event)
		if err != nil {
			errs = append(errs, fmt.Errorf("event for %s: %w", s.Of, err))
		}
		s.Description = clip(s.Description) + ". Made by Chef Replication from its configuration; changes by hand are undone."
		s.Input, s.Role, s.DeadLetters = string(input), stack.ScheduleRole, stack.DeadLetterARN
		all = append(all, s)
	}
	for _, p := range pairs {
		add(Schedule{
			Name: PairName(p.ID), Of: "pair " + p.ID.String(), Description: "Replicates pair " + p.ID.String(),
			Target: stack.SyncARN, Enabled: !p.Stopped,
		}, p.Interval, cloud.SyncEvent{Pair: p.ID, Trigger: cloud.TriggerSchedule})
	}
	for _, o := range sources {
		add(Schedule{
			Name: SourceName(o.Name), Of: "source " + o.Name, Description: "Looks for changes in organization " + o.Name + " of the primary",
			Target: stack.ChangesARN, Enabled: true,
		}, o.Interval, cloud.ChangesEvent{Source: o.Name, Trigger: cloud.TriggerSchedule})
	}
	if err := errors.Join(append(errs, check(all))...); err != nil {
		return nil, nil, err
	}
	return all, warnings, nil
}

// complete checks that a stack has what schedules refer to.
func complete(stack cloud.Resources, journal bool) error {
	needed := []struct{ value, output string }{
		{stack.SyncARN, "SyncArn"}, {stack.ScheduleRole, "ScheduleRole"}, {stack.DeadLetterARN, "DeadLetterArn"},
	}
	if journal {
		needed = append(needed, struct{ value, output string }{stack.ChangesARN, "ChangesArn"})
	}
	for _, n := range needed {
		if n.value == "" {
			return &replication.Error{
				Op: "plan the schedules", Server: "stack " + stack.Stack, Class: replication.Local,
				Hint: "deploy the stack with this version, and with a journal if the configuration has one",
				Err:  fmt.Errorf("the stack doesn't say its %s", n.output),
			}
		}
	}
	return nil
}

// check refuses schedules that would fight for a name or couldn't be told from
// those of others.
func check(all []Schedule) error {
	of := map[string]string{}
	for _, s := range all {
		switch other, taken := of[s.Name]; {
		case taken:
			return fmt.Errorf("%s and %s have the same schedule, %s", other, s.Of, s.Name)
		case !ours.MatchString(s.Name) || len(s.Name) > maxName:
			return fmt.Errorf("%q is no name for the schedule of %s", s.Name, s.Of)
		}
		of[s.Name] = s.Of
	}
	return nil
}

// minutes is an interval as a schedule can have it, and whether that is another.
func minutes(interval time.Duration) (n int, rounded bool) {
	whole := max(interval.Truncate(time.Minute), time.Minute)
	return int(whole / time.Minute), whole != interval
}

// every is a number of minutes in words.
func every(minutes int) string {
	if minutes == 1 {
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", minutes)
}

// clip keeps a description, with what follows it, below the 512 characters that
// AWS takes.
func clip(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
