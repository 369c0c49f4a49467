package replication

import (
	"slices"
	"time"

	"chefsync/pkg/object"
)

// maxDirty is how many objects Progress.Dirty names one by one.
const maxDirty = 20

// markPending marks what the verification found not to be applied yet, so that the
// next pass looks at it: no feed may name it again. A forced overwrite of a frozen
// cookbook version is such a difference, and so is whatever a feed has lost.
// Unsynced objects are tried again anyway, and what may be drift is left to the
// drift rule.
func (v *verification) markPending(p *pass) {
	dirty := slices.Clone(p.rec.progress.Dirty)
	marked := 0
	for _, d := range v.report.Differences {
		if d.Cause == CausePending && !d.uncertain && p.ledger.failing[d.Ref] == nil {
			dirty = append(dirty, d.Ref)
			marked++
		}
	}
	if marked == 0 {
		return
	}
	p.rec.progress.Dirty = shortenScopes(dirty)
	p.rec.progress.Pending = max(p.rec.progress.Pending, marked)
	if p.rec.progress.Status == Synced {
		p.rec.progress.setStatus(Syncing, p.Now())
	}
}

// shortenScopes returns refs sorted and each once, with the listing of their kind in
// the place of more objects than a record has room for.
func shortenScopes(refs []object.Ref) []object.Ref {
	slices.SortFunc(refs, object.Compare)
	refs = slices.Compact(refs)
	if len(refs) <= maxDirty {
		return refs
	}
	for i, r := range refs {
		refs[i] = object.Ref(listedScope(r.Kind, ""))
	}
	slices.SortFunc(refs, object.Compare)
	return slices.Compact(refs)
}

// resetDirty records that the pass looked at all that verifications had marked, and at
// the objects that the operator named.
func (p *pass) resetDirty() {
	p.rec.progress.Dirty = nil
	if p.observer.resync != nil || p.due.full && !p.due.resumeCompare {
		p.rec.progress.ObjectsAt = p.rec.desired.ResyncObjectsAt
	}
}

// dirtyScopes are the scopes that verifications marked.
func (p *pass) dirtyScopes() map[object.Scope]int64 {
	scopes := map[object.Scope]int64{}
	for _, r := range p.rec.progress.Dirty {
		scopes[object.ScopeOf(r)] = 0
	}
	return scopes
}

// ObjectsAsked returns the objects that the operator wants compared on both sides and
// that no pass has compared since. Whose clock is ahead doesn't matter.
func (p PairState) ObjectsAsked() []object.Ref {
	if sameMoment(p.Desired.ResyncObjectsAt, p.Progress.ObjectsAt) {
		return nil
	}
	return p.Desired.ResyncObjects
}

// CompareAsked reports whether the operator asked for a full comparison that hasn't begun
// yet.
func (p PairState) CompareAsked(now time.Time) bool { return p.resyncAsked(now) }

// addRequestedObjects adds the objects that the operator wants compared to the scopes
// that the pass looks at.
func (p *pass) addRequestedObjects(scopes map[object.Scope]int64) {
	st := PairState{Desired: p.rec.desired, Progress: p.rec.progress}
	for _, r := range st.ObjectsAsked() {
		if p.observer.resync == nil {
			p.observer.resync = map[object.Scope]int64{}
		}
		s := object.ScopeOf(r)
		p.observer.resync[s], scopes[s] = 0, max(scopes[s], 0)
	}
}
