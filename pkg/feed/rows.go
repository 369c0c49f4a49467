package feed

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Limits on one answer of a feed.
const (
	MaxBytes = 64 << 20  // of the body
	MaxRows  = 1_000_000 // rows
	maxPath  = 1024      // bytes of a path that are kept
)

// unreplicated is the kind of scopes that hold nothing. Rows about nodes and
// the like keep their place in the sequence, by which a reset is noticed, but
// name no object.
const unreplicated object.Kind = "unreplicated"

// ErrShape: JSON, but not rows of updated_since.
var ErrShape = errors.New("not an array of {id, action, path}")

// DecodeRows reads an answer of updated_since. It must be a JSON array of
// objects with an integer id that isn't negative and the strings action and
// path; further keys don't matter. Rows come in any order and any number of
// times; the result is sorted, each id once. One id with several paths becomes
// one change that covers them all, under the least of the paths.
//
// Valid JSON of another shape gives ErrShape. Broken JSON gives another error:
// the answer was cut, and asking again may help.
func DecodeRows(body []byte) ([]replication.Change, error) {
	return decodeRows(body, MaxBytes, MaxRows)
}

func decodeRows(body []byte, maxBytes, maxRows int) ([]replication.Change, error) {
	if len(body) > maxBytes {
		return nil, fmt.Errorf("the answer has %d bytes, more than %d", len(body), maxBytes)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	switch t, err := d.Token(); {
	case err != nil:
		return nil, fmt.Errorf("broken JSON: %w", eof(err))
	case t != json.Delim('['):
		return nil, otherShape(body, "the answer is no array")
	}
	var changes []replication.Change
	for d.More() {
		var row map[string]json.RawMessage
		if err := d.Decode(&row); err != nil {
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				return nil, otherShape(body, fmt.Sprintf("row %d is no object", len(changes)+1))
			}
			return nil, fmt.Errorf("broken JSON after row %d: %w", len(changes), eof(err))
		}
		c, problem := change(row)
		if problem != "" {
			return nil, otherShape(body, fmt.Sprintf("row %d: %s", len(changes)+1, problem))
		}
		if changes = append(changes, c); len(changes) > maxRows {
			return nil, fmt.Errorf("the answer has more than %d rows", maxRows)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("broken JSON after row %d: %w", len(changes), eof(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("broken JSON: more text after the end of the array")
	}
	return unique(changes), nil
}

// otherShape is ErrShape for valid JSON only.
func otherShape(body []byte, problem string) error {
	if !json.Valid(body) {
		return fmt.Errorf("broken JSON: %s", problem)
	}
	return fmt.Errorf("%w: %s", ErrShape, problem)
}

func eof(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// change makes a change of a row, or says what is wrong with it.
func change(row map[string]json.RawMessage) (c replication.Change, problem string) {
	id, err := strconv.ParseInt(string(row["id"]), 10, 64)
	if err != nil || id < 0 {
		return c, "id isn't an integer of 0 to 2^63-1"
	}
	c.ID = id
	if c.Action, err = text(row["action"]); err != nil {
		return c, "action isn't a string"
	}
	if c.Path, err = text(row["path"]); err != nil {
		return c, "path isn't a string"
	}
	scope, replicate := ParsePath(c.Path)
	if !replicate {
		scope = object.Scope{Kind: unreplicated}
	}
	c.Scope = scope
	c.Path = strings.ToValidUTF8(c.Path[:min(len(c.Path), maxPath)], "")
	return c, ""
}

func text(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", ErrShape
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

// unique sorts by id and merges rows of one id. The merged change doesn't
// depend on the order of the rows, since its path is what a reset is noticed by.
func unique(changes []replication.Change) []replication.Change {
	slices.SortFunc(changes, func(a, b replication.Change) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Action, b.Action))
	})
	out := changes[:0]
	for _, c := range changes {
		if n := len(out); n > 0 && out[n-1].ID == c.ID {
			out[n-1].Scope = widen(out[n-1].Scope, c.Scope)
			continue
		}
		out = append(out, c)
	}
	return out
}

// widen is the smallest scope that covers two.
func widen(a, b object.Scope) object.Scope {
	switch {
	case a == b || b.Kind == unreplicated:
		return a
	case a.Kind == unreplicated:
		return b
	}
	if a.Kind != b.Kind {
		if !isBag(a.Kind) || !isBag(b.Kind) {
			return object.Scope{}
		}
		a.Kind, a.Sub, b.Sub = object.DataBag, "", ""
	}
	if a.Name != b.Name {
		return object.Scope{Kind: family(a.Kind)}
	}
	if a.Sub != b.Sub {
		return object.Scope{Kind: family(a.Kind), Name: a.Name}
	}
	return a
}

func isBag(k object.Kind) bool {
	return k == object.DataBag || k == object.DataBagItem
}

// family is the kind whose scopes cover a kind.
func family(k object.Kind) object.Kind {
	if isBag(k) {
		return object.DataBag
	}
	return k
}
