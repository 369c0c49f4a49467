package contentdiff_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"chefsync/cli/internal/contentdiff"
	"chefsync/pkg/object"
)

// side holds one cookbook version in memory.
type side map[string]string // path → content

func md5Of(content string) string {
	sum := md5.Sum([]byte(content))
	return hex.EncodeToString(sum[:])
}

func (s side) version() contentdiff.Side {
	o := object.Object{Ref: object.Ref{Kind: object.Cookbook, Name: "apt", Sub: "1.0.0"}}
	for path, content := range s {
		o.Files = append(o.Files, object.File{Path: path, Checksum: md5Of(content)})
	}
	return contentdiff.Side{Object: o, Server: s}
}

func (s side) Open(_ context.Context, _ object.Object, f object.File) (io.ReadCloser, int64, error) {
	for _, content := range s {
		if md5Of(content) == f.Checksum {
			return io.NopCloser(bytes.NewReader([]byte(content))), int64(len(content)), nil
		}
	}
	return nil, 0, errors.New("no such file")
}

func TestFilesOfACookbookVersion(t *testing.T) {
	same, large := "same\n", strings.Repeat("x", 1<<20+1)
	replica := side{"same.rb": same, "changed.rb": "a\nb\n", "gone.rb": "gone\n", "logo.png": "\x00old", "large.txt": "small"}
	primary := side{"same.rb": same, "changed.rb": "a\nc\n", "new.rb": "new\n", "logo.png": "\x00new", "large.txt": large}
	files := contentdiff.Files(replica.version().Object, primary.version().Object)
	var got []string
	for _, f := range files {
		got = append(got, f.Letter+" "+f.Path)
	}
	if s := strings.Join(got, ", "); s != "M changed.rb, D gone.rb, M large.txt, M logo.png, A new.rb" {
		t.Errorf("files %s", s)
	}
	out := contentdiff.CompareFiles(t.Context(), replica.version(), primary.version(), files)
	for _, want := range []string{"\n-b\n+c\n", "\n-gone\n", "\n+new\n", "binary files differ: logo.png\n", "large.txt is not shown: it is larger than 1.0 MiB\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if n := contentdiff.CountLines(out); n != "2 lines added, 2 removed" {
		t.Errorf("counted %s", n)
	}
}

// TestLinesThatLookLikeAHeadAreCounted: a removed "-- comment" is shown as "--- comment".
func TestLinesThatLookLikeAHeadAreCounted(t *testing.T) {
	replica := side{"init.sql": "-- old\nselect 1;\n", "other.sql": "a\n"}
	primary := side{"init.sql": "++ new\n++ newer\nselect 1;\n", "other.sql": "-- b\n"}
	files := contentdiff.Files(replica.version().Object, primary.version().Object)
	out := contentdiff.CompareFiles(t.Context(), replica.version(), primary.version(), files)
	if n := contentdiff.CountLines(out); n != "3 lines added, 2 removed" {
		t.Errorf("counted %s in:\n%s", n, out)
	}
}
