package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// manifest is a cookbook version or artifact in the form that the replica accepts.
type manifest struct {
	kind    object.Kind
	path    string // with the version as in the body
	body    []byte
	print   string
	frozen  bool
	files   []object.File
	dropped []string // parts that the replica can't store
}

// manifestFor returns the manifest to send: cleaned, and converted if the replica's API
// version has another form (docs/chef-server-api.md §3.3).
func (t *Target) manifestFor(ctx context.Context, obj object.Object) (*manifest, error) {
	version, err := t.org.Client().APIVersion(ctx)
	if err != nil {
		return nil, t.wrapWriteError("write", obj.Ref, err)
	}
	body, dropped, err := chef.WritableManifest(obj.Body, version, obj.Ref.Kind.IsImmutable())
	m := &manifest{kind: obj.Ref.Kind, dropped: dropped}
	if err == nil {
		err = m.setBody(obj, body)
	}
	if err != nil {
		return nil, t.newError("write", obj.Ref, fault.Rejected, "upload the cookbook version to the primary again", "%w", err)
	}
	return m, nil
}

// setBody sets the fields that depend on the body. URLs of files come from the object.
func (m *manifest) setBody(obj object.Object, body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return errors.New("the manifest isn't a JSON object")
	}
	m.path = obj.Ref.Path()
	if m.kind.IsVersioned() {
		version := stringOf(members["version"])
		if !validVersion(version) {
			return errors.New("the manifest has no version")
		}
		m.path = object.Ref{Kind: m.kind, Name: obj.Ref.Name, Sub: version}.Path()
	}
	m.frozen = string(members["frozen?"]) == "true"
	m.body = body
	var err error
	if m.print, err = object.FingerprintOf(object.Ref{Kind: m.kind}, body); err != nil {
		return err
	}
	if m.files, err = filesOf(body); err != nil {
		return err
	}
	urls := make(map[string]object.File, len(obj.Files))
	for _, f := range obj.Files {
		urls[f.Checksum] = f
	}
	for i, f := range m.files {
		if known, ok := urls[f.Checksum]; ok {
			m.files[i] = known
		}
	}
	return nil
}

// maxCycles limits how often a cookbook is uploaded and written again because the server
// deleted its content in between (docs/chef-server-api.md §3.3).
const maxCycles = 3

// putCookbook uploads what the server lacks and writes the manifest, with
// force, since a version may be frozen.
func (t *Target) putCookbook(ctx context.Context, obj object.Object, create bool, content replication.Content) error {
	m, err := t.manifestFor(ctx, obj)
	if err != nil {
		return err
	}
	replaced, nullsGone := false, false
	for cycle := 1; ; cycle++ {
		if err := t.uploadFiles(ctx, obj.Ref.Kind, m.files, content); err != nil {
			return t.wrapWriteError("upload the files of", obj.Ref, err)
		}
		err = t.sendManifest(ctx, m, create)
		switch kind := chef.KindOf(err); {
		case err == nil:
			return t.degradedError(obj.Ref, m)
		case errors.Is(err, errStays) && !replaced:
			// A frozen version can't be unfrozen, and an artifact can't be changed: it
			// must be deleted and created again.
			replaced = true
			if err := t.deleteObject(ctx, obj.Ref); err != nil {
				return t.wrapWriteError("replace", obj.Ref, err)
			}
			t.checksums.dropKnown(m.files)
		case kind == chef.KindMissingChecksum && cycle < maxCycles:
			t.checksums.dropKnown(m.files)
		case kind == chef.KindMissingChecksum:
			t.dropTorn(ctx, obj.Ref, m, create)
			return t.wrapWriteError("write", obj.Ref, err)
		case kind == chef.KindInvalid && !nullsGone && t.dropNulls(obj, m):
			nullsGone = true
		case errors.Is(err, errDiffers):
			return t.newError("write", obj.Ref, fault.Degraded,
				"compare the version on both servers; an older server may change what it stores", "%w", err)
		default:
			return t.wrapWriteError("write", obj.Ref, t.refusedWrite(ctx, obj.Ref, err))
		}
	}
}

// dropNulls removes null values from a manifest that the server refused. It reports
// whether there were any.
func (t *Target) dropNulls(obj object.Object, m *manifest) bool {
	body, dropped, err := chef.DropNullMetadata(m.body)
	if err != nil || len(dropped) == 0 || m.setBody(obj, body) != nil {
		return false
	}
	m.dropped = append(m.dropped, dropped...)
	return true
}

// degradedError returns an error with the parts that the replica can't store, or nil.
func (t *Target) degradedError(ref object.Ref, m *manifest) error {
	if len(m.dropped) == 0 {
		return nil
	}
	return t.newError("hold all of", ref, fault.Degraded,
		"upgrade the replica to Chef Infra Server 12.18 or newer, or repair the cookbook on the primary",
		"written without %s", strings.Join(m.dropped, ", "))
}

var (
	errStays   = errors.New("the server did not replace the stored version")
	errDiffers = errors.New("the server stores other content than was sent")
)

// sendManifest writes a manifest. Only one overwrites a version at a time.
func (t *Target) sendManifest(ctx context.Context, m *manifest, create bool) error {
	if create {
		return t.writeManifest(ctx, m)
	}
	select {
	case t.overwrites <- struct{}{}:
		defer func() { <-t.overwrites }()
		return t.writeManifest(ctx, m)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// writeManifest PUTs the manifest and checks that the server stored it.
// An artifact is only ever created (docs/chef-server-api.md §5.1).
func (t *Target) writeManifest(ctx context.Context, m *manifest) error {
	path := m.path
	if !m.kind.IsImmutable() {
		path += "?force=true"
	}
	a, err := t.org.Do(ctx, http.MethodPut, path, m.body)
	if m.kind.IsImmutable() && chef.KindOf(err) == chef.KindExists {
		if err = t.checkStored(ctx, m); errors.Is(err, errDiffers) {
			return errStays
		}
		return err
	}
	if err != nil {
		// If the server returns the content, only the answer was lost.
		if isUnknown(err) && t.checkStored(ctx, m) == nil {
			return nil
		}
		return err
	}
	if fingerprint, err := object.FingerprintOf(object.Ref{Kind: m.kind}, a.Body); err == nil && fingerprint == m.print {
		return nil
	}
	return t.checkStored(ctx, m)
}

// checkStored reads the version back and compares it with what was sent.
func (t *Target) checkStored(ctx context.Context, m *manifest) error {
	a, err := t.org.Do(ctx, http.MethodGet, m.path, nil)
	if err != nil {
		return err
	}
	fingerprint, err := object.FingerprintOf(object.Ref{Kind: m.kind}, a.Body)
	if err != nil {
		return err
	}
	if fingerprint == m.print {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(a.Body, &members) == nil && string(members["frozen?"]) == "true" && !m.frozen {
		return errStays
	}
	return errDiffers
}

// dropTorn deletes the version that a failed create left: servers list and return such a
// version although its content is missing (docs/chef-server-api.md §3.3, §13). It keeps
// a version that differs from what was sent.
func (t *Target) dropTorn(ctx context.Context, ref object.Ref, m *manifest, create bool) {
	if !create || t.checkStored(ctx, m) != nil {
		return
	}
	if err := t.deleteObject(ctx, ref); err != nil {
		t.log.WarnContext(ctx, "a broken cookbook version could not be removed from the replica", "server", t.org.Client().Name(),
			"kind", string(ref.Kind), "object", ref.Path(), "error", err)
	}
}
