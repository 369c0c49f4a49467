package scan_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"io"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// nowhere can't search anything.
type nowhere struct{}

func (nowhere) Fingerprints(context.Context, object.Scope) (map[object.Ref]string, error) {
	return nil, scan.ErrUnsearchable
}

func clientConfig(w *world, user string, key *rsa.PrivateKey) chef.Config {
	return chef.Config{Name: "primary", URL: w.primary.URL, User: user, Key: key}
}

// strict hides rows of objects that can't be read, as a server with
// strict_search_result_acls does (docs/chef-server-api.md §6.2).
type strict struct{ org *chef.Org }

func (s strict) Do(ctx context.Context, method, path string, body []byte) (*chef.Answer, error) {
	a, err := s.org.Do(ctx, method, path, body)
	if err != nil || !bytes.Contains([]byte(path), []byte("/search/role")) {
		return a, err
	}
	var page struct {
		Total int               `json:"total"`
		Start int               `json:"start"`
		Rows  []json.RawMessage `json:"rows"`
	}
	if err := json.Unmarshal(a.Body, &page); err != nil {
		return a, err
	}
	var shown []json.RawMessage
	for _, row := range page.Rows {
		var role struct{ Name string }
		if err := json.Unmarshal(row, &role); err != nil {
			return a, err
		}
		if _, err := s.org.Do(ctx, "GET", "/roles/"+role.Name, nil); err == nil {
			shown = append(shown, row)
		}
	}
	page.Rows = shown
	a.Body, err = json.Marshal(page)
	return a, err
}

// content is content straight from a source.
type content struct {
	source replication.Source
	obj    object.Object
}

func (c content) Open(ctx context.Context, f object.File) (io.ReadCloser, int64, error) {
	return c.source.Open(ctx, c.obj, f)
}
