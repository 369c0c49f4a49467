package endpoint

import (
	"context"
	"io"
	"log/slog"

	"chefsync/pkg/chef"
	"chefsync/pkg/replication"
)

// Source reads an organization of the primary.
type Source struct{ reader }

var _ replication.Source = (*Source)(nil)

// NewSource makes a source of an organization. Log may be nil.
func NewSource(org *chef.Org, log *slog.Logger) *Source {
	return &Source{newReader(org, log)}
}

func newReader(org *chef.Org, log *slog.Logger) reader {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return reader{side: side{org}, log: log}
}

// Open implements replication.Source. A URL that the file store refuses is
// replaced once by a fresh one (chef-server-api.md §3.4).
func (s *Source) Open(ctx context.Context, obj replication.Object, file replication.File) (io.ReadCloser, int64, error) {
	op := "download " + file.Path + " of"
	if file.URL != "" {
		content, size, err := s.org.Client().OpenFile(ctx, file.URL)
		if kind := chef.KindOf(err); kind != chef.KindExpired && kind != chef.KindRequest {
			return content, size, s.fileError(op, obj.Ref, err)
		}
	}
	fresh, err := s.Get(ctx, obj.Ref)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range fresh.Files {
		if f.Checksum == file.Checksum {
			content, size, err := s.org.Client().OpenFile(ctx, f.URL)
			return content, size, s.fileError(op, obj.Ref, err)
		}
	}
	return nil, 0, s.reject(op, obj.Ref, replication.Absent, "", "the cookbook version has changed and doesn't hold this content any more")
}

// fileError gives a failed download its meaning. Content that the file store
// has lost isn't absence of the object: the server is damaged.
func (s *Source) fileError(op string, ref replication.Ref, err error) error {
	if err == nil {
		return nil
	}
	if chef.KindOf(err) == chef.KindAbsent {
		return s.reject(op, ref, replication.Rejected, "upload this cookbook version to the server again",
			"the server's file store has lost the content: %w", err)
	}
	return s.fail(op, ref, err)
}
