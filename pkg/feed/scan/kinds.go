package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// observed is what a scan saw of an object.
type observed struct {
	print    string
	frozen   bool
	revision string // of a policy in a policy group
}

// scanKinds goes through the kinds. A kind that fails alone is left as it was; an
// error of the whole server ends the scan.
func (p *pass) scanKinds(ctx context.Context) error {
	for _, kind := range object.Kinds() {
		if !p.includes(kind) || kind == object.DataBagItem {
			continue
		}
		var err error
		switch kind {
		case object.DataBag:
			err = p.scanBags(ctx)
		case object.Cookbook:
			err = p.scanCookbooks(ctx)
		case object.Policy, object.CookbookArtifact:
			err = p.scanImmutable(ctx, kind)
		case object.PolicyGroup:
			err = p.scanPolicyGroups(ctx)
		default:
			err = p.scanPlain(ctx, kind)
		}
		if err := p.recordFailure(ctx, kind, err); err != nil {
			return err
		}
	}
	return nil
}

// recordFailure records an error that concerns a list or an object alone, and returns
// one that ends the scan.
func (p *pass) recordFailure(ctx context.Context, kind object.Kind, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch replication.ClassOf(err) {
	case replication.Unreachable, replication.Denied, replication.Local:
		return err
	}
	p.report.Failed = append(p.report.Failed, err)
	if p.report.Unread == nil {
		p.report.Unread = map[object.Kind]error{}
	}
	if p.report.Unread[kind] == nil {
		p.report.Unread[kind] = err
	}
	return nil
}

// scanPlain scans roles or environments.
func (p *pass) scanPlain(ctx context.Context, kind object.Kind) error {
	scope := object.Scope{Kind: kind}
	refs, err := p.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	p.report.Listed += len(refs)
	views, err := p.readBodies(ctx, map[object.Scope][]object.Ref{scope: refs})
	if err != nil && !interrupted(ctx) {
		return err
	}
	return errors.Join(err, p.mergeScope(ctx, scope, refs, views))
}

// scanCookbooks scans cookbook versions: new ones, unfrozen ones, and the frozen
// ones whose turn it is.
func (p *pass) scanCookbooks(ctx context.Context) error {
	scope := object.Scope{Kind: object.Cookbook}
	refs, err := p.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	p.report.Listed += len(refs)
	from, to := p.before.Swept, p.Now()
	if p.swept.After(from) {
		from = p.swept
	}
	if from.After(to) { // by a clock that was ahead: each has its turn within the coming rotation
		from = to
	}
	var due []object.Ref
	frozen := false
	for _, ref := range refs {
		k, known := p.before.Objects[ref]
		frozen = frozen || k.Frozen
		if !known || k.Print == "" || !k.Frozen || inRotation(ref, from, to, p.Rotation) {
			due = append(due, ref)
		}
	}
	p.sweepOK = true
	views, err := p.read(ctx, due)
	if err != nil && !interrupted(ctx) {
		return err
	}
	err = errors.Join(err, p.mergeScope(ctx, scope, refs, views))
	// What the first scan doesn't come to is read whether it is its turn or not.
	if p.begin || err == nil && p.sweepOK && frozen {
		p.now.Swept = to
	}
	return err
}

// inRotation reports whether the turn of a frozen version lies in (from, to]. Turns come
// once in a period, at a moment that the name decides.
func inRotation(ref object.Ref, from, to time.Time, period time.Duration) bool {
	h := fnv.New64a()
	_, _ = h.Write([]byte(ref.Path()))
	offset := int64(h.Sum64() % uint64(period))
	round := func(t time.Time) int64 {
		n, d := t.UnixNano()-offset, int64(period)
		if n < 0 {
			n -= d - 1
		}
		return n / d
	}
	return from.IsZero() || round(to) > round(from)
}

// scanBags scans data bags and their items.
func (p *pass) scanBags(ctx context.Context) error {
	scope := object.Scope{Kind: object.DataBag}
	bags, err := p.Reader.List(ctx, scope)
	if err != nil {
		return err
	}
	lists := make([][]object.Ref, len(bags))
	errs := make([]error, len(bags))
	p.each(len(bags), func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			lists[i], errs[i] = p.Reader.List(ctx, object.Scope{Kind: object.DataBagItem, Name: bags[i].Name})
		}
	})
	items, views := map[object.Scope][]object.Ref{}, map[object.Ref]observed{}
	for i, bag := range bags {
		views[bag] = observed{print: namePrint}
		if err := p.recordFailure(ctx, object.DataBagItem, errs[i]); err != nil && !interrupted(ctx) {
			return err
		}
		if errs[i] == nil {
			items[object.Scope{Kind: object.DataBagItem, Name: bag.Name}] = lists[i]
			p.report.Listed += len(lists[i])
		}
	}
	p.report.Listed += len(bags)
	bodies, err := p.readBodies(ctx, items)
	if err != nil && !interrupted(ctx) {
		return err
	}
	if err := p.mergeScope(ctx, scope, bags, views); err != nil && !interrupted(ctx) {
		return err
	}
	scopes := slices.SortedFunc(maps.Keys(items), func(a, b object.Scope) int {
		return object.Compare(object.Ref(a), object.Ref(b))
	})
	for _, s := range scopes {
		if err := p.mergeScope(ctx, s, items[s], bodies); err != nil && !interrupted(ctx) {
			return err
		}
	}
	return ctx.Err()
}

// readBodies gets the fingerprints of listed objects, in bulk as far as that goes, and one
// by one where it doesn't.
func (p *pass) readBodies(ctx context.Context, lists map[object.Scope][]object.Ref) (map[object.Ref]observed, error) {
	listed := slices.Concat(slices.Collect(maps.Values(lists))...)
	views := map[object.Ref]observed{}
	for ref, obj := range p.Reader.GetBulk(ctx, listed, replication.BulkOptions{Listed: true}) {
		views[ref] = observed{print: obj.Fingerprint}
	}
	p.report.Found += len(views)
	alone := slices.DeleteFunc(listed, func(ref object.Ref) bool { _, found := views[ref]; return found })
	read, err := p.read(ctx, alone)
	maps.Copy(views, read)
	return views, err
}

// shuffleUnreadFirst puts first what no scan has read yet. The rest comes in any order, so that
// scans that run out of their time don't always leave out the same.
func (p *pass) shuffleUnreadFirst(refs []object.Ref) {
	rand.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
	slices.SortStableFunc(refs, func(a, b object.Ref) int {
		return cmp.Compare(p.priority(a), p.priority(b))
	})
}

func (p *pass) priority(ref object.Ref) int {
	if p.before.Objects[ref].Print == "" {
		return 0
	}
	return 1
}

// read gets objects one by one. Those that can't be read alone are left out.
func (p *pass) read(ctx context.Context, refs []object.Ref) (map[object.Ref]observed, error) {
	if _, limited := ctx.Deadline(); limited {
		p.shuffleUnreadFirst(refs)
	}
	views := make([]*observed, len(refs))
	errs := make([]error, len(refs))
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	trouble := 0
	p.each(len(refs), func(i int) {
		if errs[i] = stop.Err(); errs[i] != nil {
			return
		}
		views[i], errs[i] = p.get(stop, refs[i])
		if errs[i] == nil || stop.Err() != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch replication.ClassOf(errs[i]) {
		case replication.Rejected, replication.Absent:
			return
		case replication.Transient, replication.Foreign:
			if trouble++; trouble < troubleLimit {
				return
			}
		}
		cancel()
	})
	out := map[object.Ref]observed{}
	var fatal error
	for i, ref := range refs {
		switch err := errs[i]; {
		case views[i] != nil:
			out[ref] = *views[i]
			p.report.Read++
		case err != nil && !replication.IsAbsent(err):
			if replication.ClassOf(err) != replication.Rejected {
				p.sweepOK = false
			}
			if stop.Err() != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
				continue // because of another
			}
			if e := p.recordFailure(ctx, ref.Kind, err); e != nil && fatal == nil {
				fatal = e
			}
		}
	}
	if fatal == nil && stop.Err() != nil && ctx.Err() == nil {
		fatal = &replication.Error{Op: "scan", Ref: object.Ref{Kind: refs[0].Kind}, Class: replication.Transient,
			Err: fmt.Errorf("%d objects in one scan could not be read", trouble)}
	}
	if fatal == nil {
		fatal = ctx.Err()
	}
	return out, fatal
}

// troubleLimit is how many transient failures end the scan of a kind.
const troubleLimit = 8

func (p *pass) get(ctx context.Context, ref object.Ref) (*observed, error) {
	obj, err := p.Reader.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	v := &observed{print: obj.Fingerprint}
	switch ref.Kind {
	case object.PolicyGroup:
		v.revision = revision(obj.Body)
	case object.DataBag, object.Policy, object.CookbookArtifact:
		v.print = namePrint
	case object.Cookbook:
		var members map[string]json.RawMessage
		v.frozen = json.Unmarshal(obj.Body, &members) == nil && string(members["frozen?"]) == "true"
	}
	return v, nil
}

// each calls do for 0 … n-1, Concurrency at a time.
func (p *pass) each(n int, do func(int)) {
	var workers errgroup.Group
	workers.SetLimit(p.Concurrency)
	for i := range n {
		workers.Go(func() error { do(i); return nil })
	}
	_ = workers.Wait()
}

// addRow adds a row, unless the journal only begins.
func (p *pass) addRow(action, path string) {
	if !p.begin {
		p.rows = append(p.rows, journal.Entry{Action: action, Path: path})
	}
}
