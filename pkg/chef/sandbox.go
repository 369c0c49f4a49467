package chef

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// SandboxChunk is how many checksums to put into one sandbox: servers take far
// more, but the check at commit is cheaper (docs/chef-server-api.md §3.5).
const SandboxChunk = 1000

// The operations of errors of sandboxes.
const (
	OpCreateSandbox = "create a sandbox"
	OpCommitSandbox = "commit a sandbox"
)

// Sandbox is an announced upload of content.
type Sandbox struct {
	ID      string
	Uploads []Upload // what the server lacks, in the order asked for
}

// Upload is content that the server lacks.
type Upload struct {
	Checksum string // lower-case hexadecimal MD5
	URL      string // presigned; lives for 15 minutes (docs/chef-server-api.md §3.5)
}

// CreateSandbox announces the content that cookbook versions will need. At least
// one checksum is needed: a server refuses an empty sandbox.
func (o *Org) CreateSandbox(ctx context.Context, checksums []string) (*Sandbox, error) {
	r := &request{op: OpCreateSandbox, method: http.MethodPost, path: "/sandboxes"}
	sums := make([]string, len(checksums))
	for i, s := range checksums {
		if sums[i] = strings.ToLower(s); !validChecksum(sums[i]) {
			return nil, o.c.newError(r, KindRequest, fmt.Sprintf("%q isn't a checksum", cleanText(s, 40)))
		}
	}
	slices.Sort(sums)
	sums = slices.Compact(sums)
	if len(sums) == 0 {
		return nil, o.c.newError(r, KindRequest, "a sandbox without checksums")
	}
	needed := make(map[string]any, len(sums))
	for _, s := range sums {
		needed[s] = nil
	}
	var err error
	if r.body, err = json.Marshal(map[string]any{"checksums": needed}); err != nil {
		return nil, o.c.newError(r, KindRequest, err.Error())
	}
	a, err := o.do(ctx, r)
	if err != nil {
		return nil, err
	}
	box, err := decodeSandbox(a.Body, sums)
	if err != nil {
		e := o.c.newError(r, KindForeign, err.Error())
		e.Status = a.Status
		return nil, e
	}
	return box, nil
}

func decodeSandbox(body []byte, sums []string) (*Sandbox, error) {
	var doc struct {
		ID        string `json:"sandbox_id"`
		Checksums map[string]struct {
			Needs *bool  `json:"needs_upload"`
			URL   string `json:"url"`
		} `json:"checksums"`
	}
	if json.Unmarshal(body, &doc) != nil || !ValidName(doc.ID) {
		return nil, errors.New("the answer isn't a sandbox")
	}
	box := &Sandbox{ID: doc.ID}
	for _, s := range sums {
		d, ok := doc.Checksums[s]
		if !ok || d.Needs == nil || *d.Needs && d.URL == "" {
			return nil, errors.New("the sandbox doesn't say whether to upload " + s)
		}
		if *d.Needs {
			box.Uploads = append(box.Uploads, Upload{Checksum: s, URL: d.URL})
		}
	}
	return box, nil
}

// CommitSandbox ends an upload. A store that is slow to show new content makes
// the server answer 503, 500 or, when old, 400: these are tried again. A
// committed sandbox is gone, so an absent one after a lost answer is success
// (docs/chef-server-api.md §3.5).
func (o *Org) CommitSandbox(ctx context.Context, id string) error {
	r := &request{op: OpCommitSandbox, method: http.MethodPut, path: "/sandboxes/" + id, body: []byte(`{"is_completed":true}`),
		retryInvalid: true}
	if !ValidName(id) {
		return o.c.newError(r, KindRequest, "this isn't the id of a sandbox")
	}
	_, err := o.do(ctx, r)
	var e *Error
	if errors.As(err, &e) && e.Kind == KindAbsent && e.Unsure {
		return nil
	}
	return err
}

// ValidName reports whether s can stand in a path as one segment without encoding
// (docs/chef-server-api.md §4.7).
func ValidName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 255 {
		return false
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:", r)
		if !ok {
			return false
		}
	}
	return true
}
