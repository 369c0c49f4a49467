package replication

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// lister lists objects on both sides, and records the listings that fail.
type lister struct {
	*Engine
	guard  *guard
	errs   *errorClassifier
	rec    *recorder
	ledger *ledger
}

// listing is one side's names, by kind.
type listing struct {
	refs   map[object.Ref]struct{}
	counts map[object.Kind]int
	failed map[object.Kind]bool
	// unserved are those of the failed kinds that the server doesn't know at all.
	unserved map[object.Kind]bool
	bags     map[string]bool // bags whose items could not be listed
}

// hasFailed reports whether a listing failed that the server should have answered.
func (l listing) hasFailed() bool { return len(l.failed) > len(l.unserved) }

// isUnknown reports whether the listing can't say if r is there.
func (l listing) isUnknown(r object.Ref) bool {
	return l.failed[r.Kind] || r.Kind.Parent() != "" && l.bags[r.Name]
}

func (l *lister) listBoth() (source, target listing, err error) {
	if source, err = l.listSide(l.Source, "primary", PhaseListPrimary); err != nil {
		return source, target, err
	}
	if target, err = l.listSide(l.Target, "replica", PhaseListReplica); err != nil {
		return source, target, err
	}
	if w := l.rec.progress.Work; w == nil || w.After == "" {
		l.resolveListings(source, target)
	}
	// Only the listing is unsynced for a kind that the replica can't hold.
	maps.DeleteFunc(source.refs, func(r object.Ref, _ struct{}) bool { return target.unserved[r.Kind] })
	maps.Copy(source.failed, target.unserved)
	maps.Copy(source.unserved, target.unserved)
	return source, target, nil
}

// resolveListings drops the records of listings that failed before. A compare that goes on
// keeps them: what they didn't name then may lie before its cursor.
func (l *lister) resolveListings(source, target listing) {
	for scope := range maps.Clone(l.ledger.unlisted) {
		if r := object.Ref(scope); !source.isUnknown(r) && !target.isUnknown(r) {
			l.ledger.resolveListing(scope)
		}
	}
}

// listSide lists all kinds of the pair on one side. A kind whose listing alone
// fails is left out, recorded as unsynced, and nothing of it is deleted.
func (l *lister) listSide(side Reader, name string, phase Phase) (listing, error) {
	found := listing{refs: map[object.Ref]struct{}{}, counts: map[object.Kind]int{}, failed: map[object.Kind]bool{}, unserved: map[object.Kind]bool{}}
	var bags []object.Ref
	for _, k := range object.Kinds() {
		if !l.Pair.Includes(k) {
			continue
		}
		l.rec.reportProgress(phase, 0, object.Ref{Kind: k})
		var refs []object.Ref
		var err error
		switch {
		case k.Parent() == "":
			refs, err = side.List(l.guard.hard, object.Scope{Kind: k})
		case found.failed[k.Parent()]:
			found.failed[k] = true
			continue
		default:
			if refs, found.bags, err = l.listItems(side, name, bags); err != nil {
				return found, err
			}
		}
		if err != nil {
			objErr, fatal := l.errs.classifyError(l.guard.hard, side, name, err)
			if fatal != nil {
				return found, fatal
			}
			found.failed[k] = true
			if fault.ClassOf(objErr) == fault.Unserved {
				found.unserved[k] = true
			}
			l.rec.setUnlisted(object.Scope{Kind: k}, objErr)
			continue
		}
		refs = l.Pair.selectRefs(refs)
		if k.Child() != "" {
			bags = refs
		}
		for _, r := range refs {
			found.refs[r] = struct{}{}
		}
		found.counts[k] = len(refs)
	}
	return found, nil
}

// listScope names the objects of a scope: those the primary has now, and those in
// the ledger, which may be gone from it.
func (l *lister) listScope(ctx context.Context, s object.Scope) ([]object.Ref, error) {
	single := s.Sub != "" || s.Name != "" && (s.Kind == object.Role || s.Kind == object.Environment)
	var refs []object.Ref
	if !single || s.Kind == object.Policy {
		for r := range l.ledger.replicatedObjects() {
			if s.Contains(r) {
				refs = append(refs, r)
			}
		}
	}
	if single {
		return append(refs, object.Ref(s)), nil
	}
	if s.Kind.Child() != "" && s.Name != "" {
		refs = append(refs, object.Ref(s))
	}
	for _, k := range object.Kinds() {
		if !s.Touches(k) || !l.Pair.includesScope(object.Scope{Kind: k, Name: s.Name}) {
			continue
		}
		listed, err := l.listKind(ctx, l.Source, k, s.Name)
		if err != nil {
			objErr, fatal := l.errs.classifyError(ctx, l.Source, "primary", err)
			if fatal != nil {
				return nil, fatal
			}
			l.rec.setUnlisted(listedScope(k, s.Name), objErr)
			continue
		}
		refs = append(refs, listed...)
	}
	return refs, nil
}

// listedScope returns the scope of a listing. The items of all bags are named by the
// listing of the bags.
func listedScope(k object.Kind, name string) object.Scope {
	if name == "" {
		k = cmp.Or(k.Parent(), k)
	}
	return object.Scope{Kind: k, Name: name}
}

// listKind lists the objects of a kind, or those of one name. Without a name,
// the items of all bags are listed bag by bag.
func (l *lister) listKind(ctx context.Context, side Reader, k object.Kind, name string) ([]object.Ref, error) {
	if k.Parent() == "" || name != "" {
		refs, err := side.List(ctx, object.Scope{Kind: k, Name: name})
		if fault.IsAbsent(err) {
			return nil, nil
		}
		return refs, err
	}
	bags, err := side.List(ctx, object.Scope{Kind: k.Parent()})
	if err != nil {
		return nil, err
	}
	refs, _, err := l.listItems(side, "primary", l.Pair.selectRefs(bags))
	return refs, err
}

// listItems lists the items of bags, except bags of which none is selected. A
// bag that alone can't be listed is unsynced and named in failed.
func (l *lister) listItems(side Reader, name string, bags []object.Ref) (refs []object.Ref, failed map[string]bool, err error) {
	bags = slices.DeleteFunc(slices.Clone(bags), func(b object.Ref) bool {
		return !l.Pair.includesScope(object.Scope{Kind: b.Kind.Child(), Name: b.Name})
	})
	lists, failed := make([][]object.Ref, len(bags)), map[string]bool{}
	err = l.guard.forEach(len(bags), l.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
		scope := object.Scope{Kind: bags[i].Kind.Child(), Name: bags[i].Name}
		items, err := side.List(ctx, scope)
		if err == nil || fault.IsAbsent(err) {
			lists[i] = items
			return nil
		}
		objErr, fatal := l.errs.classifyError(ctx, side, name, err)
		if fatal != nil {
			return fatal
		}
		l.rec.mu.Lock()
		defer l.rec.mu.Unlock()
		failed[bags[i].Name] = true
		l.rec.setUnlisted(scope, objErr)
		return nil
	})
	return slices.Concat(lists...), failed, err
}
