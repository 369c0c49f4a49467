package replication

import (
	"context"
	"strings"
	"time"
)

// replicaChanged is the reason of a compare.
const replicaChanged = "the replica is another server or organization than before"

// sameIdentity reports whether two identities may name one organization. A server
// may hide the GUID from a client: then only the URLs are compared.
func sameIdentity(a, b string) bool {
	urlA, guidA, _ := strings.Cut(a, "#")
	urlB, guidB, _ := strings.Cut(b, "#")
	return urlA == urlB && (guidA == guidB || guidA == "" || guidB == "")
}

// askReplica asks the replica who it is, once an hour, and asks for a full compare
// if it is another one than before.
func (e *Engine) askReplica(ctx context.Context, p Progress, t *todo) error {
	if age(p.ReplicaAt, e.Now()) < identityEvery {
		return nil
	}
	id, err := e.Target.Identity(ctx)
	if err != nil {
		return err
	}
	t.replica = id
	if !p.knowsReplica(id) {
		t.full, t.deep, t.reason = true, true, replicaChanged
	}
	return nil
}

// knowsReplica reports whether the replica is the recorded one, or none is recorded.
func (p Progress) knowsReplica(id string) bool { return p.Replica == "" || sameIdentity(p.Replica, id) }

// sawReplica records the replica's identity.
func (p *Progress) sawReplica(id string, now time.Time) {
	p.ReplicaAt = now
	if !p.knowsReplica(id) {
		p.ReplicaNew = now
	} else if strings.HasPrefix(p.Replica, id+"#") {
		return // hidden now; the GUID stays known
	}
	p.Replica = id
}

// replicaIdentity is the replica's identity as this pass knows it.
func (p *pass) replicaIdentity(ctx context.Context) (string, error) {
	if p.todo.replica != "" {
		return p.todo.replica, nil
	}
	return p.Target.Identity(ctx)
}
