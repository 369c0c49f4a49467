// Package transfer moves the records of pairs from one state to another: from the SQLite
// file of a daemon to the DynamoDB table of the functions, or back, with nothing lost.
// A pair that is moved continues where it was: no object is compared or written again
// because of the move.
//
// [Export] reads pairs that are stopped and not leased into a [Document], and [Import]
// writes one of them into a state and leaves it stopped there, so that there never are two
// writers: the one is stopped before it is read, the other begins when it is started by
// hand.
//
// A document holds the desired state, progress with the position, inventory and unsynced
// objects. It holds no lease, no runs and no log lines, and none of the change log of
// a primary without a feed: a pair that is moved away from its change log finds that
// another one continues elsewhere, and compares everything once. It holds no keys
// and no content of objects, but their names and hashes, the URL of the primary
// and the messages of errors.
package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// The format of documents.
const (
	Format  = "chef-sync-state"
	Version = 1
)

// Document holds the records of pairs, as JSON.
type Document struct {
	Format   string    `json:"format"`  // Format
	Version  int       `json:"version"` // Version, or an older one
	Exported time.Time `json:"exported"`
	Pairs    []Pair    `json:"pairs"`
}

// Pair holds the records of a pair without its lease and its runs.
type Pair struct {
	ID        replication.PairID     `json:"pair"`
	Desired   replication.Desired    `json:"desired"`
	Progress  replication.Progress   `json:"progress"`
	Inventory map[object.Ref]string  `json:"inventory"` // object → fingerprint of what replication last put there
	Unsynced  []replication.Unsynced `json:"unsynced"`
}

// dirtyFingerprint stands in an inventory for an object that was written with unknown result.
const dirtyFingerprint = "?"

// setEntries sets the inventory and the unsynced objects.
func (p *Pair) setEntries(entries replication.Entries) {
	p.Inventory, p.Unsynced = map[object.Ref]string{}, []replication.Unsynced{}
	for r, e := range entries {
		switch {
		case e.Dirty:
			p.Inventory[r] = dirtyFingerprint
		case e.Fingerprint != "":
			p.Inventory[r] = e.Fingerprint
		}
	}
	p.Unsynced = append(p.Unsynced, entries.Unsynced()...)
}

// entries returns the inventory and the unsynced objects as the entries of a ledger.
func (p Pair) entries() replication.Entries {
	all := make(replication.Entries, len(p.Inventory)+len(p.Unsynced))
	for r, fingerprint := range p.Inventory {
		if fingerprint == dirtyFingerprint {
			all[r] = replication.Entry{Dirty: true}
		} else {
			all[r] = replication.Entry{Fingerprint: fingerprint}
		}
	}
	for _, u := range p.Unsynced {
		e := all[u.Ref]
		e.Failure = &u
		all[u.Ref] = e
	}
	return all
}

// Encode writes a document.
func Encode(w io.Writer, d Document) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// Decode reads a document. It rejects other formats, newer versions and unknown fields,
// which an import would lose.
func Decode(r io.Reader) (Document, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return Document{}, fmt.Errorf("read the document: %w", err)
	}
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return Document{}, unusableError("export it again, it may have been cut off", fmt.Errorf("it is not one JSON object: %w", err))
	}
	switch {
	case head.Format != Format:
		return Document{}, unusableError("name a file that state export wrote", fmt.Errorf("its format is %q, not %q", head.Format, Format))
	case head.Version < 1:
		return Document{}, unusableError("name a file that state export wrote", fmt.Errorf("there is no version %d", head.Version))
	case head.Version > Version:
		return Document{}, unusableError("import it with the newer chef-sync-ctl that wrote it",
			fmt.Errorf("it has version %d, this program knows %d", head.Version, Version))
	}
	var d Document
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Document{}, unusableError("import it with the chef-sync-ctl that wrote it", err)
	}
	if err := d.checkPairs(); err != nil {
		return Document{}, unusableError("export it again", err)
	}
	return d, nil
}

// unusableError returns the error of a document that can't be imported.
func unusableError(hint string, err error) error {
	return &fault.Error{Op: "read the exported state", Class: fault.Local, Hint: hint, Err: err}
}

// checkPairs rejects what no export writes.
func (d Document) checkPairs() error {
	seen := map[replication.PairID]bool{}
	for _, p := range d.Pairs {
		if p.ID == (replication.PairID{}) {
			return errors.New("a pair has no name")
		}
		if seen[p.ID] {
			return fmt.Errorf("pair %s is in it twice", p.ID)
		}
		seen[p.ID] = true
		if err := p.checkRecords(); err != nil {
			return fmt.Errorf("pair %s: %w", p.ID, err)
		}
	}
	return nil
}

func (p Pair) checkRecords() error {
	for r, fingerprint := range p.Inventory {
		if r.IsListing() || fingerprint == "" {
			return fmt.Errorf("%q with fingerprint %q can't be in an inventory", r, fingerprint)
		}
	}
	aside := map[object.Ref]bool{}
	for _, u := range p.Unsynced {
		if u.Ref.Kind == "" || aside[u.Ref] {
			return fmt.Errorf("unsynced object %q has no kind or is listed twice", u.Ref)
		}
		aside[u.Ref] = true
	}
	if n := len(p.Desired.ResyncObjects); n > replication.MaxResyncObjects {
		return fmt.Errorf("the desired state names %d objects, more than %d", n, replication.MaxResyncObjects)
	}
	if n := len(p.Desired.RetryOnly); n > replication.MaxRetryOnly {
		return fmt.Errorf("the desired state names %d objects, more than %d", n, replication.MaxRetryOnly)
	}
	return p.checkNames()
}

// checkNames rejects objects whose path names another object: the document would not give
// them back. No name that a Chef Server accepts is refused
// (docs/chef-server-api.md §4).
func (p Pair) checkNames() error {
	refs := make([]object.Ref, 0, len(p.Inventory)+len(p.Unsynced))
	for r := range p.Inventory {
		refs = append(refs, r)
	}
	for _, u := range p.Unsynced {
		refs = append(refs, u.Ref)
	}
	refs = append(refs, p.Desired.RetryOnly...)
	refs = append(refs, p.Desired.ResyncObjects...)
	refs = append(refs, p.Progress.Dirty...)
	if w := p.Progress.Work; w != nil {
		refs = append(refs, w.Intent...)
	}
	if h := p.Progress.Hold; h != nil {
		refs = append(refs, h.Sample...)
	}
	for _, r := range refs {
		var back object.Ref
		if err := back.UnmarshalText([]byte(r.Path())); err != nil || back != r {
			return fmt.Errorf("%s %q %q can't be named by a path", r.Kind, r.Name, r.Sub)
		}
	}
	return nil
}
