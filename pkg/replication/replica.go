package replication

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"chefsync/pkg/object"
)

// replicaChanged is the reason of a compare.
const replicaChanged = "the replica is a different server or organization than before"

// sameIdentity reports whether two identities may name one organization. A server
// may hide the GUID from a client: then only the URLs are compared.
func sameIdentity(a, b string) bool {
	urlA, guidA, _ := strings.Cut(a, "#")
	urlB, guidB, _ := strings.Cut(b, "#")
	return urlA == urlB && (guidA == guidB || guidA == "" || guidB == "")
}

// askReplica asks the replica who it is, once an hour, and asks for a full comparison
// if it is another one than before.
func (e *Engine) askReplica(ctx context.Context, p Progress, t *dueWork) error {
	if ageAt(p.ReplicaAt, e.Now()) < identityEvery {
		return nil
	}
	id, err := e.Target.Identity(ctx)
	if err != nil {
		return err
	}
	t.replica = id
	if !p.knowsReplica(id) {
		t.full, t.repairs, t.reason = true, true, replicaChanged
	}
	return nil
}

// withKnownGUID returns an identity with the GUID that is known of it, if that is hidden now.
func withKnownGUID(id, known string) string {
	if strings.HasPrefix(known, id+"#") {
		return known
	}
	return id
}

// knowsReplica reports whether the replica is the recorded one, or none is recorded.
func (p Progress) knowsReplica(id string) bool { return p.Replica == "" || sameIdentity(p.Replica, id) }

// sawReplica records the replica's identity.
func (p *Progress) sawReplica(id string, now time.Time) {
	p.ReplicaAt = now
	if !p.knowsReplica(id) {
		p.ReplicaNew = now
	}
	p.Replica = withKnownGUID(id, p.Replica)
}

// replicaIdentity is the replica's identity as this pass knows it.
func (p *pass) replicaIdentity(ctx context.Context) (string, error) {
	if p.due.replica != "" {
		return p.due.replica, nil
	}
	return p.Target.Identity(ctx)
}

// pruneAsked reports whether a resync was asked to prune, and is under way or waits
// for approval. Another resync takes that back.
func (p PairState) pruneAsked(now time.Time) bool {
	if p.resyncAsked(now) {
		return p.Desired.PruneAt.Equal(p.Desired.ResyncAt)
	}
	w, h := p.Progress.Work, p.Progress.Hold
	return w != nil && w.Prune || h != nil && h.Prune
}

// noteReplicaOnly counts what only the replica has, when a pair or its replica is new:
// what was deleted on the primary before stays there, and nobody knows whether it was
// copied once. Later compares count again what is left of it.
func (c *comparison) noteReplicaOnly(deleted []object.Ref) {
	g := &c.rec.progress
	known := !g.LastCompare.IsZero() && !g.ReplicaNew.After(g.LastCompare)
	if known && g.ReplicaOnly == 0 {
		return
	}
	before := g.ReplicaOnly
	g.ReplicaOnly = 0
	if c.Pair.pruneRule() != PruneReplicated {
		return
	}
	for r := range c.target.refs {
		_, there := c.source.refs[r]
		if !there && !c.ledger.isReplicated(r) && !c.source.isUnknown(r) && c.Pair.Manages(r) {
			g.ReplicaOnly++
		}
	}
	for _, r := range deleted {
		_, there := c.target.refs[r]
		if there && !c.ledger.isReplicated(r) {
			g.ReplicaOnly--
		}
	}
	if n := g.ReplicaOnly; n > 0 && n != before {
		c.Log.Log(context.Background(), slog.LevelWarn, "objects exist only on the replica; the prune rule keeps them until an operator decides",
			"pair", c.Pair.ID.String(), "run", c.rec.run.ID, "objects", n, "hint", "chef-sync-ctl plan "+c.Pair.ID.String()+" --prune")
	}
}
