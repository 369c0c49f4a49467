// Package replicationtest contains in-memory implementations of what the engine uses: an
// organization that is source, target and feed, a stage, and a wrapper that simulates a
// crash at a chosen call. They don't use HTTP; the in-memory Chef Server is package
// cheftest, and a state in memory is package store over kvtest.Memory.
package replicationtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Org is an organization in memory. It implements Source, Target and Feed. Create it with
// NewOrg.
type Org struct {
	ID string // what Identity returns

	mu      sync.Mutex
	objects map[object.Ref]object.Object
	files   map[string][]byte
	log     []replication.Change
	lastID  int64
	edits   int            // calls of Set and Unset
	hidden  map[int64]bool // rows not visible yet

	// Searchable makes GetBulk return objects.
	Searchable bool
	// NoFeed makes Read return ErrNoFeed.
	NoFeed bool
	// Refuse, if set, may return an error for a call: op is list, get, put, delete, open.
	Refuse func(op string, ref object.Ref) error
	// Lose, if set, may return an error for a put or delete that took effect, as when
	// the answer is lost.
	Lose func(op string, ref object.Ref) error
	// Delay is the duration of a put.
	Delay time.Duration
	// Trusting makes it treat content that its objects refer to as present, whether or
	// not it is, as a Chef Infra Server does, and delete unreferenced content.
	Trusting bool
	// KnownRevisions makes it refuse to bind a policy to a revision that it lacks.
	KnownRevisions bool
	// Writes counts puts and deletes that changed something; Calls counts all.
	Writes, Calls int
}

// NewOrg returns an empty organization.
func NewOrg(id string) *Org {
	return &Org{ID: id, objects: map[object.Ref]object.Object{}, files: map[string][]byte{}, hidden: map[int64]bool{}}
}

// Set stores an object with a body and, for a cookbook, files, and adds a row to the
// feed.
func (o *Org) Set(path, body string, files ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.edits++
	ref := mustParseRef(path)
	obj := object.Object{Ref: ref, Body: []byte(body)}
	sum := sha256.New()
	fmt.Fprint(sum, body)
	for _, content := range files {
		md := md5.Sum([]byte(content))
		check := hex.EncodeToString(md[:])
		o.files[check] = []byte(content)
		obj.Files = append(obj.Files, object.File{Checksum: check, Path: "files/" + check})
		fmt.Fprint(sum, check)
	}
	obj.Fingerprint = hex.EncodeToString(sum.Sum(nil))[:16]
	if bag := ref.Parent(); bag.Name != "" {
		if _, ok := o.objects[bag]; !ok {
			o.objects[bag] = object.Object{Ref: bag, Fingerprint: "bag"}
			o.addRow("create", bag)
		}
	}
	if !ref.Kind.HasContent() {
		obj.Fingerprint = "bag"
	}
	action := "create"
	if _, ok := o.objects[ref]; ok {
		action = "update"
	}
	o.objects[ref] = obj
	o.addRow(action, ref)
}

// Unset deletes an object and adds a row. Deleting a data bag deletes its items, and
// deleting a policy revision deletes the policies in policy groups that are bound to it,
// without rows for them.
func (o *Org) Unset(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.edits++
	ref := mustParseRef(path)
	if _, ok := o.objects[ref]; !ok {
		return
	}
	o.deleteObject(ref)
	o.addRow("delete", ref)
}

func (o *Org) deleteObject(ref object.Ref) {
	delete(o.objects, ref)
	maps.DeleteFunc(o.objects, func(r object.Ref, _ object.Object) bool { return r.Parent() == ref })
	for _, r := range o.boundPolicies(ref) {
		delete(o.objects, r)
	}
	if o.Trusting {
		maps.DeleteFunc(o.files, func(sum string, _ []byte) bool { return !o.isReferenced(sum) })
	}
}

// isReferenced reports whether an object refers to the content.
func (o *Org) isReferenced(sum string) bool {
	for _, obj := range o.objects {
		if slices.ContainsFunc(obj.Files, func(f object.File) bool { return f.Checksum == sum }) {
			return true
		}
	}
	return false
}

// boundPolicies returns the policies in policy groups that are bound to a revision.
func (o *Org) boundPolicies(revision object.Ref) (groups []object.Ref) {
	for r, obj := range o.objects {
		if r.Kind.Binds() == revision.Kind && r.Sub == revision.Name && string(obj.Body) == revision.Sub {
			groups = append(groups, r)
		}
	}
	return groups
}

func (o *Org) addRow(action string, ref object.Ref) {
	o.lastID++
	o.log = append(o.log, replication.Change{ID: o.lastID, Action: action, Path: ref.Path(), Scope: object.ScopeOf(ref)})
}

// Hide hides the newest row, like one of a transaction that isn't committed yet, and
// returns a function that shows it.
func (o *Org) Hide() (show func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := o.lastID
	o.hidden[id] = true
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.hidden, id)
	}
}

// Restart empties the feed and restarts its ids from 1, as a restored server does.
func (o *Org) Restart() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log, o.lastID = nil, 0
}

// Remember returns a function that edits the organization back to what it holds now.
func (o *Org) Remember() (restore func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := maps.Clone(o.objects)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.edits++
		refs := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(o.objects))
		slices.SortFunc(refs, object.Compare)
		for _, r := range slices.Compact(refs) {
			if before[r].Fingerprint != o.objects[r].Fingerprint {
				o.addRow("update", r)
			}
		}
		o.objects = maps.Clone(before)
	}
}

// Snapshot returns the fingerprints of all objects by path.
func (o *Org) Snapshot() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]string{}
	for r, obj := range o.objects {
		out[r.Path()] = obj.Fingerprint
	}
	return out
}

func (o *Org) beginCall(ctx context.Context, op string, ref object.Ref) error {
	o.Calls++
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.Refuse != nil {
		return o.Refuse(op, ref)
	}
	return nil
}

// Name implements replication.Feed.
func (o *Org) Name() string { return "updated_since" }

// Reason implements replication.Feed.
func (o *Org) Reason() string { return "" }

// Begun implements replication.Feed.
func (o *Org) Begun(context.Context) (bool, error) { return false, nil }

// ReadSnapshot implements replication.Feed: there is no snapshot.
func (o *Org) ReadSnapshot(context.Context) (replication.Snapshot, error) {
	return replication.Snapshot{}, nil
}

// Read implements replication.Feed.
func (o *Org) Read(ctx context.Context, after int64) (replication.Rows, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.beginCall(ctx, "feed", object.Ref{}); err != nil {
		return replication.Rows{}, err
	}
	if o.NoFeed {
		return replication.Rows{}, replication.ErrNoFeed
	}
	var rows replication.Rows
	for _, c := range o.log {
		if c.ID > after && !o.hidden[c.ID] {
			rows.Changes = append(rows.Changes, c)
		}
	}
	return rows, nil
}

// Identity implements replication.Reader.
func (o *Org) Identity(ctx context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ID, o.beginCall(ctx, "identity", object.Ref{})
}

// List implements replication.Reader.
func (o *Org) List(ctx context.Context, s object.Scope) ([]object.Ref, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.beginCall(ctx, "list", object.Ref{Kind: s.Kind, Name: s.Name}); err != nil {
		return nil, err
	}
	var refs []object.Ref
	for r := range o.objects {
		if r.Kind == s.Kind && s.Contains(r) {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, object.Compare)
	return refs, nil
}

// Get implements replication.Reader.
func (o *Org) Get(ctx context.Context, ref object.Ref) (object.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.beginCall(ctx, "get", ref); err != nil {
		return object.Object{}, err
	}
	obj, ok := o.objects[ref]
	if !ok {
		return obj, &fault.Error{Op: "read", Object: ref, Server: o.ID, Class: fault.Absent, Err: errors.New("not found")}
	}
	if obj.Body == nil {
		obj.Body = []byte{}
	}
	return obj, nil
}

// GetBulk implements replication.Reader. With Searchable, it returns two of three
// objects.
func (o *Org) GetBulk(ctx context.Context, refs []object.Ref, options replication.BulkOptions) map[object.Ref]object.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := map[object.Ref]object.Object{}
	for i, ref := range refs {
		obj, there := o.objects[ref]
		if !o.Searchable || !there || i%3 == 2 || o.beginCall(ctx, "get", ref) != nil {
			continue
		}
		if options.BodyBytes -= len(obj.Body); options.BodyBytes < 0 {
			obj.Body = nil
		} else if obj.Body == nil {
			obj.Body = []byte{}
		}
		found[ref] = obj
	}
	return found
}

// Open implements replication.Source and replication.Target.
func (o *Org) Open(ctx context.Context, obj object.Object, file object.File) (io.ReadCloser, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.beginCall(ctx, "open", obj.Ref); err != nil {
		return nil, 0, err
	}
	current := o.objects[obj.Ref]
	if !slices.ContainsFunc(current.Files, func(f object.File) bool { return f.Checksum == file.Checksum }) {
		return nil, 0, &fault.Error{Op: "read", Object: obj.Ref, Server: o.ID, Class: fault.Absent, Err: errors.New("file not found")}
	}
	content, stored := o.files[file.Checksum]
	if !stored {
		return nil, 0, &fault.Error{Op: "download", Object: obj.Ref, Server: o.ID, Class: fault.Rejected,
			Err: replication.ErrContentLost}
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

// Expect implements replication.Target.
func (o *Org) Expect(_ context.Context, obj object.Object) (string, []string, error) {
	return obj.Fingerprint, nil, nil
}

// Lane implements replication.Target: versions of one cookbook are written in order.
func (o *Org) Lane(ref object.Ref) string {
	if ref.Kind.IsSequential() {
		return ref.Name
	}
	return ref.Path()
}

// Put implements replication.Target.
func (o *Org) Put(ctx context.Context, obj object.Object, _ bool, content replication.Content) error {
	o.mu.Lock()
	err := o.beginCall(ctx, "put", obj.Ref)
	o.mu.Unlock()
	if err != nil {
		return err
	}
	if err := sleepContext(ctx, o.Delay); err != nil {
		return err
	}
	for _, f := range obj.Files {
		if err := o.uploadFile(ctx, f, content); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if bag := obj.Ref.Parent(); bag.Name != "" {
		if _, ok := o.objects[bag]; !ok {
			o.objects[bag] = object.Object{Ref: bag, Fingerprint: "bag"}
		}
	}
	if o.KnownRevisions && o.lacksRevision(obj) {
		return &fault.Error{Op: "write", Object: obj.Ref, Server: o.ID, Class: fault.Rejected, Err: errors.New("there is no such revision")}
	}
	o.objects[obj.Ref] = obj
	o.Writes++
	return o.loseAnswer("put", obj.Ref)
}

// lacksRevision reports whether a policy in a policy group would be bound to a revision that
// isn't there.
func (o *Org) lacksRevision(obj object.Object) bool {
	if obj.Ref.Kind.Binds() == "" {
		return false
	}
	_, there := o.objects[object.Ref{Kind: obj.Ref.Kind.Binds(), Name: obj.Ref.Sub, Sub: string(obj.Body)}]
	return !there
}

func (o *Org) loseAnswer(op string, ref object.Ref) error {
	if o.Lose != nil {
		return o.Lose(op, ref)
	}
	return nil
}

func (o *Org) uploadFile(ctx context.Context, f object.File, content replication.Content) error {
	o.mu.Lock()
	_, have := o.files[f.Checksum]
	have = have || o.Trusting && o.isReferenced(f.Checksum)
	o.mu.Unlock()
	if have {
		return nil
	}
	rc, size, err := content.Open(ctx, f)
	if err != nil {
		return err
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		return err
	}
	md := md5.Sum(b)
	if int64(len(b)) != size || hex.EncodeToString(md[:]) != f.Checksum {
		return fmt.Errorf("content of %s: %w", f.Path, replication.ErrContentMismatch)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[f.Checksum] = b
	return nil
}

// Upload implements replication.Target. It ignores errors.
func (o *Org) Upload(ctx context.Context, objs []object.Object, contentOf func(object.Object) replication.Content) {
	for _, obj := range objs {
		o.mu.Lock()
		err := o.beginCall(ctx, "upload", obj.Ref)
		o.mu.Unlock()
		for _, f := range obj.Files {
			if err == nil {
				err = o.uploadFile(ctx, f, contentOf(obj))
			}
		}
	}
}

// Reupload implements replication.Target.
func (o *Org) Reupload(ctx context.Context, f object.File, content replication.Content) (bool, error) {
	o.mu.Lock()
	err := o.beginCall(ctx, "upload", object.Ref{})
	present := o.Trusting && o.isReferenced(f.Checksum)
	if err == nil && !present {
		delete(o.files, f.Checksum)
	}
	o.mu.Unlock()
	if err != nil || present {
		return false, err
	}
	return true, o.uploadFile(ctx, f, content)
}

// Delete implements replication.Target.
func (o *Org) Delete(ctx context.Context, ref object.Ref) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.beginCall(ctx, "delete", ref); err != nil {
		return err
	}
	if len(o.boundPolicies(ref)) > 0 {
		return &fault.Error{Op: "delete", Object: ref, Server: o.ID, Class: fault.Rejected,
			Err: errors.New("policy groups use this revision")}
	}
	if _, ok := o.objects[ref]; ok {
		o.deleteObject(ref)
		o.Writes++
	}
	return o.loseAnswer("delete", ref)
}

func sleepContext(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func mustParseRef(path string) object.Ref {
	ref, err := object.ParseRef(path)
	if err != nil {
		panic(err)
	}
	return ref
}
