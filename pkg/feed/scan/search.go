package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
	"chefsync/pkg/object/canonical"
)

// DefaultRows is how many objects one search returns. A server builds the answer
// in memory (docs/chef-server-api.md §6.4).
const DefaultRows = 250

// Doer sends a request to a path below an organization and returns the answer if
// it is a success of the Chef Server itself. [chef.Org] is one.
type Doer interface {
	Do(ctx context.Context, method, path string, body []byte) (*chef.Answer, error)
}

// Searcher reads objects in bulk.
type Searcher interface {
	// Fingerprints returns the fingerprints of objects of a scope: all roles, all
	// environments, or the items of one bag. What is missing may be there all the
	// same. ErrUnsearchable for a scope that this server can't search, now or
	// ever, while others may do; other errors concern search as a whole. What was
	// found before an error is returned with it.
	Fingerprints(ctx context.Context, scope object.Scope) (map[object.Ref]string, error)
}

// ErrUnsearchable: this scope can't be searched; others may.
var ErrUnsearchable = errors.New("the server can't search this")

// Search is a Searcher over the search of a Chef Server. Rows are what an index
// knows by name, with content from the database: a row is right as of now, and a
// missing row means nothing (docs/chef-server-api.md §6.2).
type Search struct {
	do   Doer
	rows int
}

var _ Searcher = (*Search)(nil)

// NewSearch makes a Searcher that asks for rows objects at once, 0 for
// DefaultRows.
func NewSearch(do Doer, rows int) *Search {
	if rows <= 0 {
		rows = DefaultRows
	}
	return &Search{do, rows}
}

// index is the name under which a scope is searched, "" for none. Bags with the
// names of the server's own indexes can't be told from these.
func index(s object.Scope) string {
	switch s.Kind {
	case object.Role:
		return "role"
	case object.Environment:
		return "environment"
	case object.DataBagItem:
		if !slices.Contains([]string{"role", "environment", "node", "client"}, s.Name) {
			return s.Name
		}
	}
	return ""
}

// Fingerprints implements Searcher. Servers cap what search can reach, often at
// 10,000 rows: a later page that fails only ends the search.
func (s *Search) Fingerprints(ctx context.Context, scope object.Scope) (map[object.Ref]string, error) {
	name := index(scope)
	if name == "" {
		return nil, ErrUnsearchable
	}
	found := map[object.Ref]string{}
	for start, seen := 0, 0; ; start += s.rows {
		a, err := s.do.Do(ctx, http.MethodGet, fmt.Sprintf("/search/%s?q=*:*&rows=%d&start=%d", name, s.rows, start), nil)
		switch kind := chef.KindOf(err); {
		case err != nil && (kind == chef.KindAbsent || kind == chef.KindTooLarge || start > 0 && kind != chef.KindCanceled):
			return found, fmt.Errorf("%w: %w", ErrUnsearchable, err)
		case err != nil:
			return found, fmt.Errorf("search %s: %w", name, err)
		}
		var page struct {
			Total *int              `json:"total"`
			Rows  []json.RawMessage `json:"rows"`
		}
		if json.Unmarshal(a.Body, &page) != nil || page.Total == nil {
			return found, fmt.Errorf("search %s: the answer isn't a search result", name)
		}
		for _, row := range page.Rows {
			if ref, print, ok := readRow(scope, row); ok {
				found[ref] = print
			}
		}
		seen += len(page.Rows)
		if len(page.Rows) == 0 || start+s.rows >= *page.Total || seen >= *page.Total {
			return found, nil
		}
	}
}

// readRow takes the name and fingerprint of a row. Anything odd is left out: it
// is then read alone.
func readRow(scope object.Scope, row []byte) (ref object.Ref, print string, ok bool) {
	// A map, since encoding/json matches the fields of a struct in any case.
	var members map[string]json.RawMessage
	if json.Unmarshal(row, &members) != nil {
		return ref, "", false
	}
	ref = object.Ref{Kind: scope.Kind}
	var form []byte
	var err error
	switch scope.Kind {
	case object.Role:
		ref.Name = text(members["name"])
		form, err = canonical.Role(row)
	case object.Environment:
		ref.Name = text(members["name"])
		form, err = canonical.Environment(row)
	default:
		raw := members["raw_data"]
		var item map[string]json.RawMessage
		if text(members["json_class"]) != "Chef::DataBagItem" || text(members["data_bag"]) != scope.Name || json.Unmarshal(raw, &item) != nil {
			return ref, "", false
		}
		ref.Name, ref.Sub = scope.Name, text(item["id"])
		form, err = canonical.DataBagItem(raw)
	}
	if err != nil || ref.Name == "" || scope.Kind == object.DataBagItem && ref.Sub == "" {
		return ref, "", false
	}
	return ref, canonical.Fingerprint(form), true
}

func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
