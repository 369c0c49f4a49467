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

// Limits on one answer of a feed, of which the client bounds the size.
const (
	maxRows = 1_000_000
	maxPath = 1024 // bytes of a path that are kept
)

// unreplicated is the kind of scopes without objects. Rows about nodes and the like
// keep their place in the sequence, by which a reset is detected, but name no object.
const unreplicated object.Kind = "unreplicated"

// ErrShape is returned for JSON that isn't the rows of updated_since.
var ErrShape = errors.New("not an array of {id, action, path}")

// DecodeRows decodes an answer of updated_since. It must be a JSON array of
// objects with an integer id that isn't negative and the strings action and
// path; further keys don't matter. Rows come in any order and any number of
// times; the result is sorted, each id once. One id with several paths becomes
// one change that covers them all, under the least of the paths.
//
// Valid JSON of another shape is ErrShape. Invalid JSON is another error: the answer
// was truncated, and a retry may help.
func DecodeRows(body []byte) ([]replication.Change, error) {
	return decodeRows(body, maxRows)
}

func decodeRows(body []byte, limit int) ([]replication.Change, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	switch t, err := d.Token(); {
	case err != nil:
		return nil, fmt.Errorf("broken JSON: %w", unexpectedEOF(err))
	case t != json.Delim('['):
		return nil, shapeError(body, "the answer is no array")
	}
	var changes []replication.Change
	for d.More() {
		var row map[string]json.RawMessage
		if err := d.Decode(&row); err != nil {
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				return nil, shapeError(body, fmt.Sprintf("row %d is no object", len(changes)+1))
			}
			return nil, fmt.Errorf("broken JSON after row %d: %w", len(changes), unexpectedEOF(err))
		}
		c, problem := parseRow(row)
		if problem != "" {
			return nil, shapeError(body, fmt.Sprintf("row %d: %s", len(changes)+1, problem))
		}
		if changes = append(changes, c); len(changes) > limit {
			return nil, fmt.Errorf("the answer has more than %d rows", limit)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("broken JSON after row %d: %w", len(changes), unexpectedEOF(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("broken JSON: more text after the end of the array")
	}
	return mergeRows(changes), nil
}

// shapeError returns ErrShape if the body is valid JSON.
func shapeError(body []byte, problem string) error {
	if !json.Valid(body) {
		return fmt.Errorf("broken JSON: %s", problem)
	}
	return fmt.Errorf("%w: %s", ErrShape, problem)
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseRow returns the change of a row, or what is wrong with the row.
func parseRow(row map[string]json.RawMessage) (c replication.Change, problem string) {
	id, err := strconv.ParseInt(string(row["id"]), 10, 64)
	if err != nil || id < 0 {
		return c, "id isn't an integer of 0 to 2^63-1"
	}
	c.ID = id
	if c.Action, err = stringValue(row["action"]); err != nil {
		return c, "action isn't a string"
	}
	if c.Path, err = stringValue(row["path"]); err != nil {
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

func stringValue(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", ErrShape
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

// mergeRows sorts rows by id and merges those of one id. The merged change doesn't
// depend on the order of the rows, since a reset is detected by its path.
func mergeRows(changes []replication.Change) []replication.Change {
	slices.SortFunc(changes, func(a, b replication.Change) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Action, b.Action))
	})
	out := changes[:0]
	for _, c := range changes {
		if n := len(out); n > 0 && out[n-1].ID == c.ID {
			out[n-1].Scope = unionScope(out[n-1].Scope, c.Scope)
			continue
		}
		out = append(out, c)
	}
	return out
}

// unionScope returns the smallest scope that covers two.
func unionScope(a, b object.Scope) object.Scope {
	switch {
	case a == b || b.Kind == unreplicated:
		return a
	case a.Kind == unreplicated:
		return b
	case a.Kind.Base() != b.Kind.Base():
		return object.Scope{}
	case a.Name != b.Name:
		return object.Scope{Kind: a.Kind.Base()}
	case a.Kind != b.Kind || a.Sub != b.Sub:
		return object.Scope{Kind: a.Kind.Base(), Name: a.Name}
	}
	return a
}
