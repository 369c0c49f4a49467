package endpoint

import (
	"log/slog"

	"chefsync/pkg/chef"
	"chefsync/pkg/replication"
)

// Source reads an organization of the primary.
type Source struct{ reader }

var _ replication.Source = (*Source)(nil)

// NewSource returns a source that reads an organization. Log may be nil.
func NewSource(org *chef.Org, log *slog.Logger) *Source {
	return &Source{newReader(org, log)}
}

func newReader(org *chef.Org, log *slog.Logger) reader {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return reader{side: side{org}, log: log, search: newSearchState()}
}
