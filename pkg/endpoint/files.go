package endpoint

import (
	"context"
	"io"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Open implements replication.Source and replication.Target. A URL that the file
// store refuses is replaced once by a fresh one (docs/chef-server-api.md §3.4), and so
// is one without content: a server deletes content as soon as no version needs it, so
// the version may have changed since it was read.
func (s *Source) Open(ctx context.Context, obj object.Object, file object.File) (io.ReadCloser, int64, error) {
	op := "download " + file.Path + " of"
	if file.URL != "" {
		content, size, err := s.org.Client().OpenFile(ctx, file.URL)
		switch chef.KindOf(err) {
		case chef.KindExpired, chef.KindRequest, chef.KindAbsent:
		default:
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
	return nil, 0, s.newError(op, obj.Ref, fault.Absent, "",
		"the cookbook version has changed and doesn't hold this content any more")
}

// fileError converts the error of a download. Content that the file store has lost is not
// the absence of the object: the server is damaged.
func (s *Source) fileError(op string, ref object.Ref, err error) error {
	if err == nil {
		return nil
	}
	if chef.KindOf(err) == chef.KindAbsent {
		return s.newError(op, ref, fault.Rejected, "upload this cookbook version to the server again",
			"%w: %w", replication.ErrContentLost, err)
	}
	return s.wrapError(op, ref, err)
}
