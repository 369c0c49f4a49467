package cli

import (
	"fmt"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// verifying is a scheduled verification that is believed to be under way.
type verifying struct {
	Owner   string    `json:"owner"`
	Started time.Time `json:"started"`
	Seen    time.Time `json:"seen"` // last sign of life
}

// replicaNews is how long sync-status says that a replica was another one before.
const replicaNews = 24 * time.Hour

// showReplica takes over what the record says of the replica itself.
func (r *statusRow) showReplica(g replication.Progress, now time.Time) {
	r.DamagedFiles, r.ReplicaOnly, r.ReplicaNew, r.Files = g.Files.Left(), g.ReplicaOnly, g.ReplicaNew, g.Files
	if c := g.Checking; c.UnderWay(now) {
		r.Verifying = &verifying{Owner: c.Owner, Started: c.Started, Seen: c.At}
	}
}

// replicaNote says what is to be known of the replica although it is in sync, and
// what to try, or "".
func (r *statusRow) replicaNote(now time.Time) (text, hint string) {
	id := r.Pair.String()
	switch {
	case r.ReplicaOnly > 0:
		return ui.Plural(r.ReplicaOnly, "object") + " on the replica only, not put there by replication as far as it knows",
			fmt.Sprintf(`chef-sync-ctl plan %s --prune, then: chef-sync-ctl resync %s --prune; or exclude them, or set prune = "none"`, id, id)
	case r.ReplicaNew.IsZero() || now.Sub(r.ReplicaNew) >= replicaNews:
		return "", ""
	case r.LastCompare.Before(r.ReplicaNew):
		return "the replica is another server or organization since " + ui.Stamp(r.ReplicaNew) + "; everything is being compared with it", ""
	}
	return "the replica is another server or organization since " + ui.Stamp(r.ReplicaNew) + "; everything was compared with it", ""
}

// describeReplica adds what one pair shows of its replica.
func describeReplica(t *ui.Grid, r statusRow, now time.Time) {
	if v := r.Verifying; v != nil {
		t.Row("verifying:", fmt.Sprintf("begun %s by %s, last sign of life %s", ui.Age(v.Started, now), v.Owner, ui.Age(v.Seen, now)))
	}
	if f := r.Files; f != nil {
		words := "all checked, begun " + ui.Age(f.Started, now)
		if f.After != "" {
			words = "being checked, begun " + ui.Age(f.Started, now) + ", as far as " + f.After
		}
		t.Row("files:", words+"; "+ui.Plural(f.Left(), "damaged file"))
	}
}
