package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
)

// mergeList compares the listed objects of a scope, and what was read of them, with the
// previous state. A scope is a kind, or the items of one data bag. What is known of listed
// objects that were not read is kept.
func (r *scanRun) mergeList(ctx context.Context, scope object.Scope, refs []object.Ref, observed map[object.Ref]observation) error {
	known := r.previous.hasListed(scope)
	if !known {
		// Objects may have been changed or deleted before their list was read for
		// the first time: one row for all of them.
		r.addRow(changelog.Update, containerOf(scope).Path())
	}
	listed := make(map[object.Ref]bool, len(refs))
	for _, ref := range refs {
		listed[ref] = true
		r.mergeListed(ref, observed, known)
	}
	r.markListed(scope)
	missing := slices.DeleteFunc(r.knownRefs[scope], func(ref object.Ref) bool { return listed[ref] })
	slices.SortFunc(missing, object.Compare)
	err := r.mergeMissing(ctx, missing)
	r.addFirstReads(scope)
	return err
}

// mergeListed compares one listed object with the previous state.
func (r *scanRun) mergeListed(ref object.Ref, observed map[object.Ref]observation, known bool) {
	k, had := r.previous.Objects[ref]
	v, looked := observed[ref]
	k.Missing = false
	switch {
	case !had && known:
		r.addRow(changelog.Create, ref.Path())
	case had && known && looked && k.Fingerprint == "" && v.fingerprint != "":
		r.firstReads = append(r.firstReads, ref)
	case had && known && looked && v.fingerprint != k.Fingerprint:
		r.addRow(changelog.Update, ref.Path())
	}
	if looked {
		k.Fingerprint, k.Frozen, k.Revision = v.fingerprint, v.frozen, v.revision
	}
	k.Due = k.Frozen && (r.failedReads[ref] || k.Due && !looked)
	r.current.Objects[ref] = k
}

// maxFirstReads is the number of first reads in a scope beyond which one row of the
// list replaces the rows of the objects: readers compare a list for less.
const maxFirstReads = 100

// addFirstReads adds rows for objects that were listed by an earlier scan and read for
// the first time by this one: they may have changed in between.
func (r *scanRun) addFirstReads(scope object.Scope) {
	refs := r.firstReads
	if r.firstReads = nil; len(refs) > maxFirstReads {
		refs = []object.Ref{containerOf(scope)}
	}
	for _, ref := range refs {
		r.addRow(changelog.Update, ref.Path())
	}
}

// mergeMissing handles objects that are known and no longer listed. They are deleted if
// the previous scan didn't list them either, or if the server answers 404 for them.
func (r *scanRun) mergeMissing(ctx context.Context, refs []object.Ref) error {
	var ask []object.Ref
	for _, ref := range refs {
		switch k := r.previous.Objects[ref]; {
		case k.Missing:
			r.deleteWithItems(ref)
		case len(ask) < r.confirmsLeft:
			ask = append(ask, ref)
		default:
			r.deferDeletion(ref)
			r.unconfirmed[ref.Kind]++
		}
	}
	r.confirmsLeft -= len(ask)
	observed, errs := readAll(ctx, r.Concurrency, ask, func(ref object.Ref) (*observation, error) { return r.readObject(ctx, ref) })
	for i, ref := range ask {
		switch err := errs[i]; {
		case err == nil: // it exists although the list omits it
			r.mergeListed(ref, map[object.Ref]observation{ref: *observed[i]}, true)
		case fault.IsAbsent(err):
			r.deleteWithItems(ref)
		default:
			if err := r.recordFailure(ctx, ref.Kind, err); err != nil {
				return err
			}
			r.deferDeletion(ref)
		}
	}
	return nil
}

// deferDeletion leaves the decision about a missing object to the next scan.
func (r *scanRun) deferDeletion(ref object.Ref) {
	k := r.current.Objects[ref]
	k.Missing = true
	r.current.Objects[ref] = k
	r.report.Pending++
}

// noteUnconfirmed reports the kinds with deletions that were left to the next scan as not
// read completely: pairs that applied this scan are not in sync yet.
func (r *scanRun) noteUnconfirmed() {
	for kind, n := range r.unconfirmed {
		text := "1 object is missing from its list"
		if n > 1 {
			text = fmt.Sprintf("%d objects are missing from their lists", n)
		}
		r.setUnread(kind, &fault.Error{Op: "confirm deletions", Class: fault.Transient, Hint: "wait for the next scan, which confirms them",
			Err: errors.New(text)})
	}
}

// deleteWithItems records that an object is deleted, a data bag with its items.
func (r *scanRun) deleteWithItems(ref object.Ref) {
	r.deleteEntry(ref)
	if child := ref.Kind.Child(); child != "" {
		for _, item := range r.knownRefs[object.Scope{Kind: child, Name: ref.Name}] {
			r.deleteEntry(item)
		}
	}
}

func (r *scanRun) deleteEntry(ref object.Ref) {
	if _, there := r.current.Objects[ref]; there {
		delete(r.current.Objects, ref)
		r.deleted = append(r.deleted, ref)
	}
}

// containerOf returns the object or listing that contains a scope.
func containerOf(s object.Scope) object.Ref {
	return cmp.Or(object.Ref(s).Parent(), object.Ref{Kind: s.Kind, Name: s.Name})
}

func (r *scanRun) markListed(s object.Scope) {
	if s.Kind.Parent() == "" {
		r.current.Listed[s.Kind] = true
		return
	}
	parent := object.Ref(s).Parent()
	k := r.current.Objects[parent]
	k.Listed = true
	r.current.Objects[parent] = k
}
