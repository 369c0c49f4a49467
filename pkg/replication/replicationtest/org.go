// Package replicationtest holds in-memory stand-ins for what the engine needs:
// an organization that is source, target and feed at once, a state, a stage, and
// a decorator that fails or "crashes" at any chosen call. They know nothing of
// HTTP; the in-memory Chef Server is package cheftest.
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

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Org is an organization on an imagined server. It implements Source, Target
// and Feed. The zero value is not usable; see NewOrg.
type Org struct {
	ID string // what Identity returns

	mu      sync.Mutex
	objects map[object.Ref]object.Object
	files   map[string][]byte
	log     []replication.Change
	lastID  int64
	hidden  map[int64]bool // rows not visible yet

	// Searchable makes GetBulk find objects.
	Searchable bool
	// NoFeed makes the feed answer ErrNoFeed.
	NoFeed bool
	// Refuse, if set, may refuse a call: op is list, get, put, delete, open.
	Refuse func(op string, ref object.Ref) error
	// Lose, if set, may make the answer of a put or delete an error after it took
	// effect.
	Lose func(op string, ref object.Ref) error
	// Delay is how long a put or delete takes.
	Delay time.Duration
	// Trusting makes it believe to have the content that its objects name, whether or
	// not it has, as a Chef Infra Server does, and drop what none names any more.
	Trusting bool
	// Writes counts puts and deletes that changed something; Calls counts all.
	Writes, Calls int
}

// NewOrg makes an empty organization.
func NewOrg(id string) *Org {
	return &Org{ID: id, objects: map[object.Ref]object.Object{}, files: map[string][]byte{}, hidden: map[int64]bool{}}
}

// Set puts an object with a body and, for a cookbook, files, and adds a row to
// the feed.
func (o *Org) Set(path, body string, files ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ref := must(path)
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
	if ref.Kind == object.DataBagItem {
		bag := object.Ref{Kind: object.DataBag, Name: ref.Name}
		if _, ok := o.objects[bag]; !ok {
			o.objects[bag] = object.Object{Ref: bag, Fingerprint: "bag"}
			o.row("create", bag)
		}
	}
	if ref.Kind == object.DataBag {
		obj.Fingerprint = "bag"
	}
	action := "create"
	if _, ok := o.objects[ref]; ok {
		action = "update"
	}
	o.objects[ref] = obj
	o.row(action, ref)
}

// Unset deletes an object and adds a row. Deleting a bag deletes its items, and
// deleting a policy revision takes it out of the groups whose body names it,
// without rows of their own.
func (o *Org) Unset(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ref := must(path)
	if _, ok := o.objects[ref]; !ok {
		return
	}
	o.drop(ref)
	o.row("delete", ref)
}

func (o *Org) drop(ref object.Ref) {
	delete(o.objects, ref)
	if ref.Kind == object.DataBag {
		maps.DeleteFunc(o.objects, func(r object.Ref, _ object.Object) bool {
			return r.Kind == object.DataBagItem && r.Name == ref.Name
		})
	}
	for _, r := range o.users(ref) {
		delete(o.objects, r)
	}
	if o.Trusting {
		maps.DeleteFunc(o.files, func(sum string, _ []byte) bool { return !o.names(sum) })
	}
}

// names reports whether an object names the content.
func (o *Org) names(sum string) bool {
	for _, obj := range o.objects {
		if slices.ContainsFunc(obj.Files, func(f object.File) bool { return f.Checksum == sum }) {
			return true
		}
	}
	return false
}

// users are the policies in policy groups whose body is this revision.
func (o *Org) users(revision object.Ref) (groups []object.Ref) {
	for r, obj := range o.objects {
		if revision.Kind == object.Policy && r.Kind == object.PolicyGroup && r.Sub == revision.Name && string(obj.Body) == revision.Sub {
			groups = append(groups, r)
		}
	}
	return groups
}

func (o *Org) row(action string, ref object.Ref) {
	o.lastID++
	o.log = append(o.log, replication.Change{ID: o.lastID, Action: action, Path: ref.Path(), Scope: object.ScopeOf(ref)})
}

// Hide makes the newest row invisible, as a transaction that hasn't committed,
// and returns what shows it.
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

// Restart empties the feed and counts from 1 again, as a restored server would.
func (o *Org) Restart() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log, o.lastID = nil, 0
}

// Snapshot is path → fingerprint of everything there.
func (o *Org) Snapshot() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]string{}
	for r, obj := range o.objects {
		out[r.Path()] = obj.Fingerprint
	}
	return out
}

// Torn names the cookbook versions that miss a file.
func (o *Org) Torn() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var torn []string
	for r, obj := range o.objects {
		for _, f := range obj.Files {
			if _, ok := o.files[f.Checksum]; !ok {
				torn = append(torn, r.Path())
			}
		}
	}
	return torn
}

func (o *Org) enter(ctx context.Context, op string, ref object.Ref) error {
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

// Note implements replication.Feed.
func (o *Org) Note() string { return "" }

// Begun implements replication.Feed.
func (o *Org) Begun(context.Context) (bool, error) { return false, nil }

// ReadSnapshot implements replication.Feed: nobody scans it.
func (o *Org) ReadSnapshot(context.Context) (replication.Snapshot, error) {
	return replication.Snapshot{}, nil
}

// Read implements replication.Feed.
func (o *Org) Read(ctx context.Context, after int64) (replication.Rows, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enter(ctx, "feed", object.Ref{}); err != nil {
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
	return o.ID, o.enter(ctx, "identity", object.Ref{})
}

// List implements replication.Reader.
func (o *Org) List(ctx context.Context, s object.Scope) ([]object.Ref, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enter(ctx, "list", object.Ref{Kind: s.Kind, Name: s.Name}); err != nil {
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
	if err := o.enter(ctx, "get", ref); err != nil {
		return object.Object{}, err
	}
	obj, ok := o.objects[ref]
	if !ok {
		return obj, &replication.Error{Op: "read", Ref: ref, Server: o.ID, Class: replication.Absent, Err: errors.New("not found")}
	}
	if obj.Body == nil {
		obj.Body = []byte{}
	}
	return obj, nil
}

// GetBulk implements replication.Reader. With Searchable, it finds all but one object
// in three.
func (o *Org) GetBulk(ctx context.Context, refs []object.Ref, options replication.BulkOptions) map[object.Ref]object.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := map[object.Ref]object.Object{}
	for i, ref := range refs {
		obj, there := o.objects[ref]
		if !o.Searchable || !there || i%3 == 2 || o.enter(ctx, "get", ref) != nil {
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
	if err := o.enter(ctx, "open", obj.Ref); err != nil {
		return nil, 0, err
	}
	now := o.objects[obj.Ref]
	if !slices.ContainsFunc(now.Files, func(f object.File) bool { return f.Checksum == file.Checksum }) {
		return nil, 0, &replication.Error{Op: "read", Ref: obj.Ref, Server: o.ID, Class: replication.Absent, Err: errors.New("file not found")}
	}
	content, stored := o.files[file.Checksum]
	if !stored {
		return nil, 0, &replication.Error{Op: "download", Ref: obj.Ref, Server: o.ID, Class: replication.Rejected, Err: replication.ErrContentLost}
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

// Expect implements replication.Target.
func (o *Org) Expect(_ context.Context, obj object.Object) (string, []string, error) {
	return obj.Fingerprint, nil, nil
}

// Lane implements replication.Target: versions of one cookbook go in order.
func (o *Org) Lane(ref object.Ref) string {
	switch ref.Kind {
	case object.Cookbook, object.CookbookArtifact, object.Policy, object.PolicyGroup:
		return ref.Name
	}
	return ref.Path()
}

// Put implements replication.Target.
func (o *Org) Put(ctx context.Context, obj object.Object, _ bool, content replication.Content) error {
	o.mu.Lock()
	err := o.enter(ctx, "put", obj.Ref)
	o.mu.Unlock()
	if err != nil {
		return err
	}
	if err := wait(ctx, o.Delay); err != nil {
		return err
	}
	for _, f := range obj.Files {
		if err := o.upload(ctx, f, content); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if obj.Ref.Kind == object.DataBagItem {
		bag := object.Ref{Kind: object.DataBag, Name: obj.Ref.Name}
		if _, ok := o.objects[bag]; !ok {
			o.objects[bag] = object.Object{Ref: bag, Fingerprint: "bag"}
		}
	}
	o.objects[obj.Ref] = obj
	o.Writes++
	return o.lose("put", obj.Ref)
}

func (o *Org) lose(op string, ref object.Ref) error {
	if o.Lose != nil {
		return o.Lose(op, ref)
	}
	return nil
}

func (o *Org) upload(ctx context.Context, f object.File, content replication.Content) error {
	o.mu.Lock()
	_, have := o.files[f.Checksum]
	have = have || o.Trusting && o.names(f.Checksum)
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

// Upload implements replication.Target. It sends what it can.
func (o *Org) Upload(ctx context.Context, objs []object.Object, contentOf func(object.Object) replication.Content) {
	for _, obj := range objs {
		o.mu.Lock()
		err := o.enter(ctx, "upload", obj.Ref)
		o.mu.Unlock()
		for _, f := range obj.Files {
			if err == nil {
				err = o.upload(ctx, f, contentOf(obj))
			}
		}
	}
}

// Reupload implements replication.Target.
func (o *Org) Reupload(ctx context.Context, f object.File, content replication.Content) (bool, error) {
	o.mu.Lock()
	err := o.enter(ctx, "upload", object.Ref{})
	believes := o.Trusting && o.names(f.Checksum)
	if err == nil && !believes {
		delete(o.files, f.Checksum)
	}
	o.mu.Unlock()
	if err != nil || believes {
		return false, err
	}
	return true, o.upload(ctx, f, content)
}

// Delete implements replication.Target.
func (o *Org) Delete(ctx context.Context, ref object.Ref) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enter(ctx, "delete", ref); err != nil {
		return err
	}
	if len(o.users(ref)) > 0 {
		return &replication.Error{Op: "delete", Ref: ref, Server: o.ID, Class: replication.Rejected, Err: errors.New("policy groups use this revision")}
	}
	if _, ok := o.objects[ref]; ok {
		o.drop(ref)
		o.Writes++
	}
	return o.lose("delete", ref)
}

func wait(ctx context.Context, d time.Duration) error {
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

func must(path string) object.Ref {
	ref, err := object.ParseRef(path)
	if err != nil {
		panic(err)
	}
	return ref
}

// Corrupt damages the stored content of a file, as a broken disk would.
func (o *Org) Corrupt(content string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := md5.Sum([]byte(content))
	o.files[hex.EncodeToString(sum[:])] = []byte(content + "!")
}

// Mislay drops the stored content of a file, as a file store does that is restored
// from an older backup.
func (o *Org) Mislay(content string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := md5.Sum([]byte(content))
	delete(o.files, hex.EncodeToString(sum[:]))
}

// Broken names the cookbook versions of which a file is missing or damaged.
func (o *Org) Broken() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var broken []string
	for r, obj := range o.objects {
		for _, f := range obj.Files {
			content, stored := o.files[f.Checksum]
			if sum := md5.Sum(content); !stored || hex.EncodeToString(sum[:]) != f.Checksum {
				broken = append(broken, r.Path())
				break
			}
		}
	}
	slices.Sort(broken)
	return broken
}
