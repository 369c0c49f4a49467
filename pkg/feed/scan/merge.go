package scan

import (
	"context"
	"slices"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// mergeScope compares what a list held and what was seen of it with the memory. A
// scope is a kind, or the items of one bag. Listed objects that were not seen
// keep what is known of them.
func (p *pass) mergeScope(ctx context.Context, scope object.Scope, refs []object.Ref, views map[object.Ref]observed) error {
	known := p.before.listed(scope)
	if !known {
		// Objects may have changed, or gone, before their list was read for the
		// first time: one row for all of them.
		p.addRow(journal.Update, container(scope).Path())
	}
	listed := make(map[object.Ref]bool, len(refs))
	for _, ref := range refs {
		listed[ref] = true
		p.mergeListed(ref, views, known)
	}
	p.markListed(scope)
	missing := slices.DeleteFunc(p.held[scope], func(ref object.Ref) bool { return listed[ref] })
	slices.SortFunc(missing, object.Compare)
	err := p.mergeMissing(ctx, missing)
	p.addFirstReads(scope)
	return err
}

// mergeListed takes up one listed object.
func (p *pass) mergeListed(ref object.Ref, views map[object.Ref]observed, known bool) {
	k, had := p.before.Objects[ref]
	v, looked := views[ref]
	k.Missing = false
	switch {
	case !had && known:
		p.addRow(journal.Create, ref.Path())
	case had && known && looked && k.Print == "" && v.print != "":
		p.firstReads = append(p.firstReads, ref)
	case had && known && looked && v.print != k.Print:
		p.addRow(journal.Update, ref.Path())
	}
	if looked {
		k.Print, k.Frozen, k.Revision = v.print, v.frozen, v.revision
	}
	p.now.Objects[ref] = k
}

// manyFirstReads is how many rows of objects that were read for the first time are
// more than one row of their list.
const manyFirstReads = 100

// addFirstReads notes the objects that were listed before and have been read for the
// first time now: they may have changed in between.
func (p *pass) addFirstReads(scope object.Scope) {
	refs := p.firstReads
	if p.firstReads = nil; len(refs) > manyFirstReads {
		refs = []object.Ref{container(scope)}
	}
	for _, ref := range refs {
		p.addRow(journal.Update, ref.Path())
	}
}

// mergeMissing takes up objects that are known and not listed any more. They are gone if
// the scan before didn't list them either, or if the server says 404 for them.
func (p *pass) mergeMissing(ctx context.Context, refs []object.Ref) error {
	var ask []object.Ref
	for _, ref := range refs {
		switch k := p.before.Objects[ref]; {
		case k.Missing:
			p.removeGone(ref)
		case len(ask) < p.confirms:
			ask = append(ask, ref)
		default:
			p.deferDeletion(ref)
		}
	}
	p.confirms -= len(ask)
	views := make([]*observed, len(ask))
	errs := make([]error, len(ask))
	p.each(len(ask), func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			views[i], errs[i] = p.get(ctx, ask[i])
		}
	})
	for i, ref := range ask {
		switch err := errs[i]; {
		case err == nil: // the list left it out, but it is there
			p.mergeListed(ref, map[object.Ref]observed{ref: *views[i]}, true)
		case replication.IsAbsent(err):
			p.removeGone(ref)
		default:
			if err := p.recordFailure(ctx, ref.Kind, err); err != nil {
				return err
			}
			p.deferDeletion(ref)
		}
	}
	return nil
}

// deferDeletion leaves the verdict on a missing object to the next scan.
func (p *pass) deferDeletion(ref object.Ref) {
	k := p.now.Objects[ref]
	k.Missing = true
	p.now.Objects[ref] = k
	p.report.Pending++
}

// removeGone notes that an object is gone, a data bag with its items.
func (p *pass) removeGone(ref object.Ref) {
	p.removeObject(ref)
	if ref.Kind != object.DataBag {
		return
	}
	for _, item := range p.held[object.Scope{Kind: object.DataBagItem, Name: ref.Name}] {
		p.removeObject(item)
	}
}

func (p *pass) removeObject(ref object.Ref) {
	if _, there := p.now.Objects[ref]; there {
		delete(p.now.Objects, ref)
		p.gone = append(p.gone, ref)
	}
}

// container is the object or listing that holds a scope.
func container(s object.Scope) object.Ref {
	if s.Kind == object.DataBagItem {
		return object.Ref{Kind: object.DataBag, Name: s.Name}
	}
	return object.Ref{Kind: s.Kind, Name: s.Name}
}

func (p *pass) markListed(s object.Scope) {
	if s.Kind != object.DataBagItem {
		p.now.Listed[s.Kind] = true
		return
	}
	bag := object.Ref{Kind: object.DataBag, Name: s.Name}
	k := p.now.Objects[bag]
	k.Listed = true
	p.now.Objects[bag] = k
}
