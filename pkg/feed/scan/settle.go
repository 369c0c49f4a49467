package scan

import (
	"context"
	"slices"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// settle compares what a list held and what was seen of it with the memory. A
// scope is a kind, or the items of one bag. Listed objects that were not seen
// keep what is known of them.
func (p *pass) settle(ctx context.Context, scope object.Scope, refs []object.Ref, views map[object.Ref]seen) error {
	known := p.before.listed(scope)
	if !known {
		// Objects may have changed, or gone, before their list was read for the
		// first time: one row for all of them.
		p.note(journal.Update, container(scope).Path())
	}
	listed := make(map[object.Ref]bool, len(refs))
	for _, ref := range refs {
		listed[ref] = true
		p.meet(ref, views, known)
	}
	p.setListed(scope)
	missing := slices.DeleteFunc(p.held[scope], func(ref object.Ref) bool { return listed[ref] })
	slices.SortFunc(missing, object.Compare)
	err := p.miss(ctx, missing)
	p.noteLearned(scope)
	return err
}

// meet takes up one listed object.
func (p *pass) meet(ref object.Ref, views map[object.Ref]seen, known bool) {
	k, had := p.before.Objects[ref]
	v, looked := views[ref]
	k.Missing = false
	switch {
	case !had && known:
		p.note(journal.Create, ref.Path())
	case had && known && looked && k.Print == "" && v.print != "":
		p.learned = append(p.learned, ref)
	case had && known && looked && v.print != k.Print:
		p.note(journal.Update, ref.Path())
	}
	if looked {
		k.Print, k.Frozen, k.Revision = v.print, v.frozen, v.revision
	}
	p.now.Objects[ref] = k
}

// manyLearned is how many rows of objects that were read for the first time are
// more than one row of their list.
const manyLearned = 100

// noteLearned notes the objects that were listed before and have been read for the
// first time now: they may have changed in between.
func (p *pass) noteLearned(scope object.Scope) {
	refs := p.learned
	if p.learned = nil; len(refs) > manyLearned {
		refs = []object.Ref{container(scope)}
	}
	for _, ref := range refs {
		p.note(journal.Update, ref.Path())
	}
}

// miss takes up objects that are known and not listed any more. They are gone if
// the scan before didn't list them either, or if the server says 404 for them.
func (p *pass) miss(ctx context.Context, refs []object.Ref) error {
	var ask []object.Ref
	for _, ref := range refs {
		switch k := p.before.Objects[ref]; {
		case k.Missing:
			p.forget(ref)
		case len(ask) < p.confirms:
			ask = append(ask, ref)
		default:
			p.wait(ref)
		}
	}
	p.confirms -= len(ask)
	views := make([]*seen, len(ask))
	errs := make([]error, len(ask))
	p.each(len(ask), func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			views[i], errs[i] = p.get(ctx, ask[i])
		}
	})
	for i, ref := range ask {
		switch err := errs[i]; {
		case err == nil: // the list left it out, but it is there
			p.meet(ref, map[object.Ref]seen{ref: *views[i]}, true)
		case replication.IsAbsent(err):
			p.forget(ref)
		default:
			if err := p.failed(ctx, ref.Kind, err); err != nil {
				return err
			}
			p.wait(ref)
		}
	}
	return nil
}

// wait leaves the verdict on a missing object to the next scan.
func (p *pass) wait(ref object.Ref) {
	k := p.now.Objects[ref]
	k.Missing = true
	p.now.Objects[ref] = k
	p.report.Pending++
}

// forget notes that an object is gone, a data bag with its items.
func (p *pass) forget(ref object.Ref) {
	p.drop(ref)
	if ref.Kind != object.DataBag {
		return
	}
	for _, item := range p.held[object.Scope{Kind: object.DataBagItem, Name: ref.Name}] {
		p.drop(item)
	}
}

func (p *pass) drop(ref object.Ref) {
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

func (p *pass) setListed(s object.Scope) {
	if s.Kind != object.DataBagItem {
		p.now.Listed[s.Kind] = true
		return
	}
	bag := object.Ref{Kind: object.DataBag, Name: s.Name}
	k := p.now.Objects[bag]
	k.Listed = true
	p.now.Objects[bag] = k
}
