package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// server is a Chef Server to be filled.
type server struct {
	url, user    string
	key          string // file
	organization string // "" for a server that has none, such as goiardi
}

// applySample writes the filled or changed sample to the server. It writes only what
// differs, and deletes only objects of the other form of the sample.
func (s server) applySample(ctx context.Context, out io.Writer, changed bool) error {
	target, err := s.newTarget()
	if err != nil {
		return err
	}
	wanted, err := newSample(ctx, changed)
	if err != nil {
		return err
	}
	other, err := newSample(ctx, !changed)
	if err != nil {
		return err
	}
	there, err := listObjects(ctx, target)
	if err != nil {
		return err
	}
	written, deleted := 0, 0
	for _, ref := range wanted.refs {
		wrote, err := wanted.writeObject(ctx, target, ref, slices.Contains(there, ref))
		if err != nil {
			return err
		}
		if wrote {
			written++
		}
	}
	for _, ref := range other.refs {
		if !slices.Contains(there, ref) || slices.Contains(wanted.refs, ref) {
			continue
		}
		if err := target.Delete(ctx, ref); err != nil {
			return err
		}
		deleted++
	}
	_, err = fmt.Fprintf(out, "%s: %d objects written, %d deleted\n", s.url, written, deleted)
	return err
}

// newTarget returns the server as a target of replication.
func (s server) newTarget() (*endpoint.Target, error) {
	text, err := os.ReadFile(s.key)
	if err != nil {
		return nil, fmt.Errorf("read the key of %s: %w", s.user, err)
	}
	key, err := chef.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", s.key, err)
	}
	client, err := chef.New(chef.Config{Name: s.url, URL: s.url, Orgless: s.organization == "", User: s.user, Key: key})
	if err != nil {
		return nil, err
	}
	return endpoint.NewTarget(client.Org(s.organization), endpoint.TargetOptions{}), nil
}

// sample is an organization of a Chef Server in memory.
type sample struct {
	source *endpoint.Source
	refs   []object.Ref
}

func newSample(ctx context.Context, changed bool) (*sample, error) {
	const name = "sample"
	memory := cheftest.New(cheftest.Options{})
	org := memory.AddOrg(name)
	cheftest.Fill(org)
	if changed {
		cheftest.Edit(org)
	}
	user, key := memory.Superuser()
	client, err := chef.New(chef.Config{Name: "the sample", URL: "http://" + name, User: user, Key: key, Transport: memory.Transport()})
	if err != nil {
		return nil, err
	}
	source := endpoint.NewSource(client.Org(name), nil)
	refs, err := listObjects(ctx, source)
	return &sample{source: source, refs: refs}, err
}

// writeObject writes an object of the sample unless the target has it already.
func (s *sample) writeObject(ctx context.Context, target *endpoint.Target, ref object.Ref, there bool) (wrote bool, err error) {
	obj, err := s.source.Get(ctx, ref)
	if err != nil {
		return false, err
	}
	if there {
		want, _, err := target.Expect(ctx, obj)
		if err != nil {
			return false, err
		}
		got, err := target.Get(ctx, ref)
		if err != nil {
			return false, err
		}
		if got.Fingerprint == want {
			return false, nil
		}
	}
	return true, target.Put(ctx, obj, !there, sampleContent{s.source, obj})
}

// sampleContent is the content of a cookbook version of the sample.
type sampleContent struct {
	source *endpoint.Source
	obj    object.Object
}

// Open implements replication.Content.
func (c sampleContent) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	return c.source.Open(ctx, c.obj, file)
}

// listObjects returns all objects of an organization, items after their bags.
func listObjects(ctx context.Context, r replication.Reader) (all []object.Ref, err error) {
	for _, kind := range []object.Kind{object.Cookbook, object.Environment, object.Role, object.DataBag} {
		refs, err := r.List(ctx, object.Scope{Kind: kind})
		if err != nil {
			return nil, err
		}
		all = append(all, refs...)
		if kind != object.DataBag {
			continue
		}
		for _, bag := range refs {
			items, err := r.List(ctx, object.Scope{Kind: object.DataBagItem, Name: bag.Name})
			if err != nil {
				return nil, err
			}
			all = append(all, items...)
		}
	}
	return all, nil
}
