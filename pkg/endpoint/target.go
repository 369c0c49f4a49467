package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Target reads and writes an organization of a replica.
type Target struct {
	Source
	uploads   chan struct{} // transfers under way
	checksums *checksums
	// overwrites lets one cookbook version at a time replace what the server has. Of
	// two that drop the same file, Chef Infra Server answers one with 500.
	overwrites chan struct{}
}

var _ replication.Target = (*Target)(nil)

// TargetOptions configure a target. The zero value is valid.
type TargetOptions struct {
	Uploads int // file transfers at once; default 8, or what the client sends at once if that is less
	Log     *slog.Logger
}

// NewTarget returns a target that writes an organization.
func NewTarget(org *chef.Org, o TargetOptions) *Target {
	if o.Uploads <= 0 {
		o.Uploads = min(8, org.Client().Concurrency())
	}
	return &Target{Source: *NewSource(org, o.Log), checksums: newChecksums(),
		uploads: make(chan struct{}, o.Uploads), overwrites: make(chan struct{}, 1)}
}

// Expect implements replication.Target. Only cookbook files outside the nine
// segments can be lost, on a server with API version 1 or 0
// (docs/chef-server-api.md §3.2).
func (t *Target) Expect(ctx context.Context, obj object.Object) (expected string, dropped []string, err error) {
	if !obj.Ref.Kind.HasFiles() {
		return obj.Fingerprint, nil, nil
	}
	version, err := t.org.Client().APIVersion(ctx)
	if err != nil {
		return "", nil, t.wrapError("ask the version for", obj.Ref, err)
	}
	if version >= 2 {
		return obj.Fingerprint, nil, nil
	}
	m, err := t.manifestFor(ctx, obj)
	if err != nil {
		return "", nil, err
	}
	if len(m.dropped) == 0 {
		return obj.Fingerprint, nil, nil
	}
	return m.print, m.dropped, nil
}

// Lane implements replication.Target. A server without organizations keeps the items of a
// bag inside the bag: of items that goiardi 0.11.10 was sent at the same time, each with
// 201, more than half were gone afterwards.
func (t *Target) Lane(ref object.Ref) string {
	if ref.Kind.IsSequential() || ref.Kind.Parent() != "" && t.org.Client().Orgless() {
		return ref.Name
	}
	return ref.Path()
}

// Put implements replication.Target.
func (t *Target) Put(ctx context.Context, obj object.Object, create bool, content replication.Content) error {
	ref := obj.Ref
	switch {
	case !validRef(ref):
		return t.newError("write", ref, fault.Rejected, "rename the object", "this name can't be used in a path")
	case ref.IsReserved():
		return t.newError("write", ref, fault.Rejected, "", "the environment _default can't be written")
	case !ref.Kind.HasContent():
		return t.wrapWriteError("write", ref, t.putContentless(ctx, ref))
	}
	if err := checkName(ref, obj.Body); err != nil {
		return t.newError("write", ref, fault.Rejected, "repair the object on the primary", "%w", err)
	}
	switch {
	case ref.Kind.HasFiles():
		return t.putCookbook(ctx, obj, create, content)
	case ref.Kind.Infix() != "":
		return t.putRevision(ctx, obj)
	}
	body := obj.Body
	if ref.Kind.Parent() != "" {
		body = wrapItem(ref, body)
	}
	return t.wrapWriteError("write", ref, t.putJSON(ctx, ref, body, create))
}

// putJSON creates or updates a role, environment or item: only POST creates and only PUT
// updates (docs/chef-server-api.md §4.1). Create says which to send first.
func (t *Target) putJSON(ctx context.Context, ref object.Ref, body []byte, create bool) error {
	collection := ref.Path()[:strings.LastIndexByte(ref.Path(), '/')]
	parent, parentTried := ref.Parent(), false
	var err error
	for range 5 {
		if create {
			_, err = t.org.Do(ctx, http.MethodPost, collection, body)
		} else {
			_, err = t.org.Do(ctx, http.MethodPut, ref.Path(), body)
		}
		switch kind := chef.KindOf(err); {
		case create && kind == chef.KindExists:
			create = false
		case create && kind == chef.KindAbsent && parent.Name != "" && !parentTried:
			parentTried = true
			if err := t.putContentless(ctx, parent); err != nil {
				return err
			}
		case !create && kind == chef.KindAbsent:
			create = true
		case create && kind == chef.KindPermission && parent.Name == "": // an item needs a permission on its data bag
			return t.createRefusedError(ref.Kind, containerOf(ref.Kind), err)
		default:
			return err
		}
	}
	return fmt.Errorf("it is created and deleted while it is written: %w", err)
}

// putContentless creates an object without content, such as a data bag, if it is missing.
func (t *Target) putContentless(ctx context.Context, ref object.Ref) error {
	body, err := json.Marshal(map[string]string{"name": ref.Name})
	if err != nil {
		return err
	}
	_, err = t.org.Do(ctx, http.MethodPost, object.Ref{Kind: ref.Kind}.Path(), body)
	switch chef.KindOf(err) {
	case chef.KindExists:
		return nil
	case chef.KindPermission: // also for one that exists
		if _, getErr := t.org.Do(ctx, http.MethodGet, ref.Path(), nil); getErr == nil {
			return nil
		}
		return t.createRefusedError(ref.Kind, containerOf(ref.Kind), err)
	}
	return err
}

// wrapItem returns the body to send for an item: the raw form, except for one that a
// server would treat as the wrapped form and unwrap: that one is wrapped once
// (docs/chef-server-api.md §4.4).
func wrapItem(ref object.Ref, body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return body
	}
	if _, raw := members["raw_data"]; !raw || stringOf(members["json_class"]) != "Chef::DataBagItem" {
		return body
	}
	// Names are checked, so they need no escaping.
	return fmt.Appendf(nil, `{"name":"data_bag_item_%s_%s","json_class":"Chef::DataBagItem",`+
		`"chef_type":"data_bag_item","data_bag":"%s","raw_data":%s}`,
		ref.Name, ref.Sub, ref.Name, body)
}

// Delete implements replication.Target.
func (t *Target) Delete(ctx context.Context, ref object.Ref) error {
	if !validRef(ref) {
		return t.newError("delete", ref, fault.Rejected, "", "this name can't be used in a path")
	}
	if ref.IsReserved() {
		return t.newError("delete", ref, fault.Rejected, "", "the environment _default can't be deleted")
	}
	if ref.Kind.Infix() != "" { // the first name is that of an object of its own
		return t.wrapError("delete", ref, t.removePolicy(ctx, ref))
	}
	err := t.deleteObject(ctx, ref)
	if ref.Kind.HasFiles() {
		t.checksums.dropAllKnown() // the server deletes content that no cookbook refers to
	}
	return t.wrapError("delete", ref, err)
}

func (t *Target) deleteObject(ctx context.Context, ref object.Ref) error {
	_, err := t.org.Do(ctx, http.MethodDelete, ref.Path(), nil)
	if chef.KindOf(err) == chef.KindAbsent {
		return nil
	}
	return err
}

// isUnknown reports whether a write may have taken full effect although its answer was
// lost. After a 500 it has not: the server stopped during the write.
func isUnknown(err error) bool {
	var e *chef.Error
	if !errors.As(err, &e) {
		return false
	}
	gateway := e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
	return e.Kind == chef.KindUnreachable || e.Kind == chef.KindUnavailable && gateway
}
