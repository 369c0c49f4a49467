package replication

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// BackupAge is how long the backups of a run are kept, and what they name in the stage.
const BackupAge = 7 * 24 * time.Hour

// Backup is what the replica had of an object before a run wrote or deleted it.
type Backup struct {
	Ref object.Ref `json:"object"`
	// Content is a backupContent in JSON, or Staged its checksum in the stage if it is
	// large. Neither is set if the replica didn't have the object or it could not be kept.
	Content []byte `json:"content,omitempty"`
	Staged  string `json:"staged,omitempty"`
	Lost    string `json:"lost,omitempty"` // why it could not be kept
	// Foreign says that replication had not put the object on the replica.
	Foreign bool `json:"foreign,omitempty"`
}

// largeContent is the size from which a content is staged. To write 4 KB more to a table
// costs about as much as to write an object to a bucket.
const largeContent = 4 << 10

// isAbsent reports whether the replica didn't have the object.
func (b Backup) isAbsent() bool { return b.Content == nil && b.Staged == "" && b.Lost == "" }

// BackupPart is one part of the backups of a run. Each is recorded before the writes that
// it is for.
type BackupPart struct {
	Run     string
	Number  int // of the parts of the run, from 1
	Objects []Backup
}

// backupContent is an object as it is kept.
type backupContent struct {
	Fingerprint string       `json:"fingerprint"`
	Files       []backupFile `json:"files,omitempty"`
	Body        []byte       `json:"body"`
}

type backupFile struct {
	Checksum string `json:"checksum"`
	Path     string `json:"path"`
}

// backupSpace names the backups of the pair in the stage. They are apart from the files of
// the primary, since another server vouches for them.
func (e *Engine) backupSpace() string {
	sum := sha256.Sum256([]byte(e.Pair.ID.String()))
	return "backup-" + hex.EncodeToString(sum[:16])
}

// backupWriter keeps what the replica has of objects before a run writes or deletes them.
type backupWriter struct {
	*Engine
	guard *guard
	errs  *errorClassifier
	rec   *recorder

	bags map[object.Ref]bool // bags that the run has kept, or found to be there
}

// replacement is an object that is about to be written, or deleted.
type replacement struct {
	ref     object.Ref
	missing bool          // the replica is known not to have it
	foreign bool          // replication didn't put it on the replica
	files   []object.File // that it needs after the write
	// unlisted is why the items of a bag can't be listed.
	unlisted error
}

// keepReplaced keeps what the replica has of objects that are about to be written. The next
// commit records it.
func (b *backupWriter) keepReplaced(list []decidedObject) error {
	if b.Pair.NoUndo {
		return nil
	}
	replaced := make([]replacement, len(list))
	for i, d := range list {
		replaced[i] = replacement{ref: d.Ref, missing: d.Replica == Missing, files: d.obj.Files}
	}
	kept, err := b.keepAll(replaced)
	if err != nil {
		return err
	}
	_, err = b.keepAll(b.bagsOf(kept))
	return err
}

// bagsOf returns the bags of items that the replica doesn't have: writing such an item makes
// its bag.
func (b *backupWriter) bagsOf(kept []Backup) (bags []replacement) {
	for _, k := range kept {
		if bag := k.Ref.Parent(); bag != (object.Ref{}) && k.isAbsent() && !b.bags[bag] {
			b.bags[bag] = true
			bags = append(bags, replacement{ref: bag})
		}
	}
	return bags
}

// keepAll keeps what the replica has of some objects.
func (b *backupWriter) keepAll(list []replacement) ([]Backup, error) {
	var refs []object.Ref
	for _, r := range list {
		if !r.missing && r.unlisted == nil {
			refs = append(refs, r.ref)
		}
	}
	inBulk := b.Target.GetBulk(b.guard.hard, refs, BulkOptions{BodyBytes: bulkBytes})
	absent := b.findAbsent(slices.DeleteFunc(refs, func(r object.Ref) bool { return inBulk[r].Body != nil }))
	for i, r := range list {
		list[i].missing = r.missing || absent[r.ref]
		list[i].foreign = !list[i].missing && !b.rec.ledger.isReplicated(r.ref)
	}
	kept := make([]Backup, len(list))
	err := b.guard.forEach(len(list), b.Pair.maxWorkers(), nil, func(ctx context.Context, i int) (err error) {
		kept[i], err = b.keepObject(ctx, list[i], inBulk[list[i].ref])
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, k := range kept {
		if k.Ref.Kind.Child() != "" {
			b.bags[k.Ref] = true
		}
		if k.Lost != "" {
			b.Log.Warn("undo can't restore an object: what the replica had could not be kept", "pair", b.Pair.ID.String(),
				"run", b.rec.run.ID, "kind", string(k.Ref.Kind), "object", k.Ref.Path(), "reason", k.Lost)
		}
	}
	b.rec.addBackups(kept)
	return kept, nil
}

// manyUnread is the number of objects of one listing from which it takes fewer requests to
// list them first than to read those that aren't there.
const manyUnread = 10

// findAbsent returns those of the objects that the replica doesn't have, where one listing
// tells that of many.
func (b *backupWriter) findAbsent(refs []object.Ref) map[object.Ref]bool {
	byScope, absent := map[object.Scope][]object.Ref{}, map[object.Ref]bool{}
	for _, r := range refs {
		byScope[r.ListScope()] = append(byScope[r.ListScope()], r)
	}
	for scope, unread := range byScope {
		if len(unread) < manyUnread {
			continue
		}
		listed, err := b.Target.List(b.guard.hard, scope)
		if err != nil && !fault.IsAbsent(err) {
			continue // they are read
		}
		for _, r := range unread {
			absent[r] = true
		}
		for _, r := range listed {
			delete(absent, r)
		}
	}
	return absent
}

// keepDeleted keeps what is about to be deleted, with all items that go with a bag.
func (b *backupWriter) keepDeleted(refs []object.Ref, missing func(object.Ref) bool) error {
	if b.Pair.NoUndo {
		return nil
	}
	var list []replacement
	for _, r := range refs {
		items, unlisted, err := b.itemsOf(r)
		if err != nil {
			return err
		}
		list = append(list, replacement{ref: r, missing: missing(r), unlisted: unlisted})
		for _, item := range items {
			list = append(list, replacement{ref: item})
		}
	}
	_, err := b.keepAll(list)
	return err
}

// itemsOf returns the items of a bag on the replica that its deletion deletes, or why they
// can't be listed.
func (b *backupWriter) itemsOf(bag object.Ref) (items []object.Ref, unlisted, fatal error) {
	if bag.Kind.Child() == "" {
		return nil, nil, nil
	}
	items, err := b.Target.List(b.guard.hard, object.Scope{Kind: bag.Kind.Child(), Name: bag.Name})
	if err != nil && !fault.IsAbsent(err) {
		unlisted, fatal = b.errs.classifyError(b.guard.hard, b.Target, "replica", err)
	}
	// A bag with items that aren't the pair's is not deleted.
	return slices.DeleteFunc(items, func(r object.Ref) bool { return !b.Pair.Manages(r) }), unlisted, fatal
}

// keepObject keeps one object, which has a body if it was read in bulk. What can't be kept
// is no reason not to replicate.
func (b *backupWriter) keepObject(ctx context.Context, r replacement, obj object.Object) (Backup, error) {
	kept := Backup{Ref: r.ref, Foreign: r.foreign}
	switch {
	case r.missing:
		return kept, nil
	case r.unlisted != nil:
		kept.Lost = r.unlisted.Error()
		return kept, nil
	}
	var err error
	if obj.Body == nil {
		obj, err = b.Target.Get(ctx, r.ref)
	}
	switch {
	case fault.IsAbsent(err):
		return kept, nil
	case err != nil:
		objErr, fatal := b.errs.classifyError(ctx, b.Target, "replica", err)
		if objErr != nil {
			kept.Lost = objErr.Error()
		}
		return kept, fatal
	}
	if err = b.keepContent(ctx, &kept, obj); err == nil {
		err = b.stageFiles(ctx, obj, r.files)
	}
	if err != nil {
		if ctx.Err() != nil {
			return kept, context.Cause(ctx)
		}
		kept.Lost = err.Error()
	}
	return kept, nil
}

// keepContent keeps an object, without the content of its files.
func (b *backupWriter) keepContent(ctx context.Context, kept *Backup, obj object.Object) error {
	content := backupContent{Fingerprint: obj.Fingerprint, Body: obj.Body}
	for _, f := range obj.Files {
		content.Files = append(content.Files, backupFile{f.Checksum, f.Path})
	}
	data, err := json.Marshal(content)
	if err != nil || len(data) < largeContent {
		kept.Content = data
		return err
	}
	sum := md5.Sum(data)
	key := StageKey{b.backupSpace(), hex.EncodeToString(sum[:])}
	if err := b.Stage.Put(ctx, key, bytes.NewReader(data), int64(len(data))); err != nil {
		return err
	}
	kept.Staged = key.Checksum
	return nil
}

// stageFiles stages the files that the replica drops when it has an object as it will be.
func (b *backupWriter) stageFiles(ctx context.Context, obj object.Object, needed []object.File) error {
	for _, f := range obj.Files {
		stays := slices.ContainsFunc(needed, func(n object.File) bool { return n.Checksum == f.Checksum })
		if stays {
			continue
		}
		if err := b.stageFile(ctx, obj, f); err != nil {
			return fmt.Errorf("file %s: %w", f.Path, err)
		}
	}
	return nil
}

// stageFile stages one file, from the files of the primary if it is among them.
func (b *backupWriter) stageFile(ctx context.Context, obj object.Object, f object.File) error {
	content, size, err := b.Stage.Open(ctx, StageKey{b.Pair.Space, f.Checksum})
	if errors.Is(err, ErrNotStaged) {
		content, size, err = b.Target.Open(ctx, obj, f)
	}
	if err != nil {
		return err
	}
	defer content.Close()
	return b.Stage.Put(ctx, StageKey{b.backupSpace(), f.Checksum}, content, size)
}

// backupSource is a source of replication that has the objects that backups name as they
// were.
type backupSource struct {
	stage   Stage
	space   string // of the backups
	primary string // the space of the primary's files
	backups map[object.Ref]Backup
}

// Identity implements Reader.
func (s *backupSource) Identity(context.Context) (string, error) { return "", nil }

// List implements Reader. It is only asked to see whether the source answers.
func (s *backupSource) List(context.Context, object.Scope) ([]object.Ref, error) { return nil, nil }

// GetBulk implements Reader.
func (s *backupSource) GetBulk(context.Context, []object.Ref, BulkOptions) map[object.Ref]object.Object {
	return nil
}

// Get implements Reader.
func (s *backupSource) Get(ctx context.Context, ref object.Ref) (object.Object, error) {
	kept := s.backups[ref]
	fail := func(class fault.Class, err error) (object.Object, error) {
		return object.Object{}, &fault.Error{Op: "restore", Object: ref, Class: class, Err: err}
	}
	switch {
	case kept.Content == nil && kept.Staged == "" && kept.Lost != "":
		return fail(fault.Rejected, fmt.Errorf("what the replica had was not kept: %s", kept.Lost))
	case kept.isAbsent():
		return fail(fault.Absent, errors.New("the replica didn't have it"))
	}
	content, err := s.readContent(ctx, kept)
	if errors.Is(err, ErrNotStaged) || errors.Is(err, ErrContentMismatch) {
		return fail(fault.Rejected, errors.New("what the replica had isn't in the stage any more"))
	}
	if err != nil {
		return object.Object{}, err
	}
	obj := object.Object{Ref: ref, Body: content.Body, Fingerprint: content.Fingerprint}
	for _, f := range content.Files {
		obj.Files = append(obj.Files, object.File{Checksum: f.Checksum, Path: f.Path})
	}
	return obj, nil
}

func (s *backupSource) readContent(ctx context.Context, kept Backup) (c backupContent, err error) {
	data := kept.Content
	if kept.Staged != "" {
		content, _, err := s.stage.Open(ctx, StageKey{s.space, kept.Staged})
		if err != nil {
			return c, err
		}
		defer content.Close()
		if data, err = io.ReadAll(content); err != nil {
			return c, err
		}
	}
	err = json.Unmarshal(data, &c)
	if c.Body == nil {
		c.Body = []byte{} // not one that must be read again
	}
	return c, err
}

// Open implements Source. The engine looks into the backups before it asks, so this is what
// the primary has of the same content.
func (s *backupSource) Open(ctx context.Context, obj object.Object, f object.File) (io.ReadCloser, int64, error) {
	content, size, err := s.stage.Open(ctx, StageKey{s.primary, f.Checksum})
	if errors.Is(err, ErrNotStaged) {
		return nil, 0, &fault.Error{Op: "restore file " + f.Path + " of", Object: obj.Ref, Class: fault.Rejected,
			Err: errors.New("its content isn't in the stage any more")}
	}
	return content, size, err
}
