package chef

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// SearchWindow is how many hits of one search can be reached by paging: the default
// of the engines behind Chef Infra Server (docs/chef-server-api.md §6.2).
const SearchWindow = 10_000

// SearchPage is one page of a search result.
type SearchPage struct {
	// Total is the number of hits, at most SearchWindow on some servers.
	Total int
	// Rows may be fewer than asked for: objects deleted since they were indexed are
	// left out.
	Rows []json.RawMessage
}

// Search asks for rows hits of a query behind the first start ones. A search that
// fails is tried once more and no oftener: callers can do without it.
func (o *Org) Search(ctx context.Context, index, query string, start, rows int) (*SearchPage, error) {
	q := strings.NewReplacer(" ", "%20", `\`, "%5C").Replace(query)
	r := &request{method: http.MethodGet, path: fmt.Sprintf("/search/%s?q=%s&rows=%d&start=%d", index, q, rows, start),
		attempts: 2}
	a, err := o.do(ctx, r)
	if err != nil {
		return nil, err
	}
	var page struct {
		Total *int              `json:"total"`
		Rows  []json.RawMessage `json:"rows"`
	}
	if json.Unmarshal(a.Body, &page) != nil || page.Total == nil {
		e := o.c.newError(r, KindForeign, "the answer isn't a search result")
		e.Status = a.Status
		return nil, e
	}
	return &SearchPage{*page.Total, page.Rows}, nil
}

// SearchNames returns the query for objects by one field, which identifies them, with
// values that are each a [PlainTerm].
func SearchNames(field string, values []string) string {
	return field + ":" + strings.Join(values, " OR "+field+":")
}

// PlainTerm reports whether a name can stand in a query as it is.
func PlainTerm(name string) bool {
	switch name {
	case "", "AND", "OR", "NOT", "TO":
		return false
	}
	return !strings.HasPrefix(name, "-") && !strings.HasPrefix(name, ".") && !strings.Contains(name, ":") && ValidName(name)
}
