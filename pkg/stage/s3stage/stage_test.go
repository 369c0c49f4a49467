package s3stage_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage/s3stage"
)

func keyOf(content string) replication.StageKey {
	sum := md5.Sum([]byte(content))
	return replication.StageKey{Space: "engineering", Checksum: hex.EncodeToString(sum[:])}
}

// largeContent is more than is kept in memory.
func largeContent() string { return strings.Repeat("large content of a cookbook file\n", 100_000) }

// TestWrongContentIsNeverSentCompletely: S3 would refuse it by its MD5 as well.
func TestWrongContentIsNeverSentCompletely(t *testing.T) {
	for name, content := range map[string]string{
		"small":           "x",
		"large":           strings.Replace(largeContent(), "l", "L", 1),
		"large, cut off":  largeContent()[:len(largeContent())-1],
		"large, too long": largeContent() + "!",
	} {
		whole := false
		a, c := serveAnswers(t, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			whole = whole || err == nil && n == r.ContentLength
		})
		s := s3stage.Open(c, "b", "stage/")
		err := s.Put(t.Context(), keyOf(largeContent()), strings.NewReader(content), int64(len(largeContent())))
		a.stop()
		if !errors.Is(err, replication.ErrContentMismatch) || fault.ClassOf(err) != fault.Rejected || whole {
			t.Errorf("%s: %v of class %s; sent as a whole: %v", name, err, fault.ClassOf(err), whole)
		}
	}
}

func TestPutIsOneRequest(t *testing.T) {
	for name, size := range map[string]int64{"small": -1, "large": int64(len(largeContent())), "large, of unknown size": -1} {
		a, c := serveAnswers(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		content, spool := largeContent(), t.TempDir()
		if name == "small" {
			content = "small"
		}
		if err := s3stage.Open(c, "b", "").SetSpool(spool, 64<<20).Put(t.Context(), keyOf(content),
			strings.NewReader(content), size); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seen, want := a.stop(), base64.StdEncoding.EncodeToString(decodeHex(keyOf(content).Checksum))
		if len(seen) != 1 || seen[0].Header.Get("Content-Md5") != want {
			t.Errorf("%s: %d requests; want one with the MD5 %s", name, len(seen), want)
		}
		if left, err := os.ReadDir(spool); err != nil || len(left) != 0 {
			t.Errorf("%s: %v, %v are left in the folder for temporary files", name, left, err)
		}
	}
}

func decodeHex(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}

// TestPutIsRetriedWhenTheServerIsBusy, by the client's retryer.
func TestPutIsRetriedWhenTheServerIsBusy(t *testing.T) {
	ok := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	_, c := serveAnswers(t, answerWith(503, "SlowDown"), answerWith(503, "SlowDown"), ok)
	s := s3stage.Open(c, "b", "").SetSpool(t.TempDir(), 64<<20)
	if err := s.Put(t.Context(), keyOf("x"), strings.NewReader("x"), 1); err != nil {
		t.Errorf("small: %v", err)
	}
	_, c = serveAnswers(t, answerWith(503, "SlowDown"), ok)
	s = s3stage.Open(c, "b", "").SetSpool(t.TempDir(), 64<<20)
	if err := s.Put(t.Context(), keyOf(largeContent()), strings.NewReader(largeContent()), -1); err != nil {
		t.Errorf("from a file: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	a, c := serveAnswers(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	s := s3stage.Open(c, "b", "").SetSpool(t.TempDir(), 2<<20)
	for name, size := range map[string]int64{"of unknown size": -1, "of known size": int64(len(largeContent()))} {
		err := s.Put(t.Context(), keyOf(largeContent()), strings.NewReader(largeContent()), size)
		if !errors.Is(err, replication.ErrStageFull) || fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
			t.Errorf("%s: %v of class %s, want ErrStageFull with a hint", name, err, fault.ClassOf(err))
		}
	}
	if len(a.stop()) != 0 {
		t.Errorf("%d requests", len(a.seen))
	}
	err := s3stage.Open(c, "b", "").SetSpool(t.TempDir()+"/gone", 2<<20).Put(t.Context(),
		keyOf(largeContent()), strings.NewReader(largeContent()), -1)
	if fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
		t.Errorf("no folder for temporary files: %v of class %s, want local", err, fault.ClassOf(err))
	}
}

// TestExpiredContentIsNotStaged: expired, or moved to an archive.
func TestExpiredContentIsNotStaged(t *testing.T) {
	for status, code := range map[int]string{404: "NoSuchKey", 403: "InvalidObjectState"} {
		_, c := serveAnswers(t, answerWith(status, code))
		if _, _, err := s3stage.Open(c, "b", "").Open(t.Context(), keyOf("x")); !errors.Is(err, replication.ErrNotStaged) {
			t.Errorf("%s: %v, want ErrNotStaged", code, err)
		}
	}
}

// TestErrorsOfAWS: the words of S3, as the service sends them.
func TestErrorsOfAWS(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		class  fault.Class
		hint   string
	}{
		"AccessDenied":          {403, fault.Denied, "s3:GetObject on arn:aws:s3:::prod/stage/* and s3:ListBucket on arn:aws:s3:::prod"},
		"SignatureDoesNotMatch": {403, fault.Denied, "credentials"},
		"ExpiredToken":          {400, fault.Denied, "expired"},
		"NoSuchBucket":          {404, fault.Local, "no bucket prod"},
		"PermanentRedirect":     {301, fault.Local, "another region"},
		"SlowDown":              {503, fault.Transient, "fewer requests"},
	} {
		_, c := serveAnswers(t, answerWith(want.status, code))
		_, _, err := s3stage.Open(c, "prod", "stage/").Open(t.Context(), keyOf("x"))
		if fault.ClassOf(err) != want.class || !strings.Contains(fault.HintOf(err), want.hint) ||
			errors.Is(err, replication.ErrNotStaged) {
			t.Errorf("%s: %v of class %s with the hint %q", code, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
	_, c := serveAnswers(t, answerWith(403, "AccessDenied"))
	err := s3stage.Open(c, "prod", "stage/").Put(t.Context(), keyOf("x"), strings.NewReader("x"), 1)
	if !strings.Contains(fault.HintOf(err), "s3:PutObject on arn:aws:s3:::prod/stage/*") {
		t.Errorf("Put: hint %q", fault.HintOf(err))
	}
	const nobody = "http://127.0.0.1:1" // a port that no server of a test can get
	_, _, err = s3stage.Open(newClient(t, nobody), "b", "").Open(t.Context(), keyOf("x"))
	if fault.ClassOf(err) != fault.Unreachable {
		t.Errorf("nobody answers: %v of class %s", err, fault.ClassOf(err))
	}
}

// TestInterruptedTransfer is neither right nor damaged content.
func TestInterruptedTransfer(t *testing.T) {
	a, c := serveAnswers(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "only this much")
	})
	r, _, err := s3stage.Open(c, "b", "").Open(t.Context(), keyOf("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); fault.ClassOf(err) != fault.Unreachable || errors.Is(err, replication.ErrContentMismatch) {
		t.Errorf("%v of class %s, want unreachable", err, fault.ClassOf(err))
	}
	if len(a.stop()) != 1 {
		t.Errorf("%d requests; nothing is to be removed", len(a.seen))
	}
}

func TestBlobs(t *testing.T) {
	srv := httptest.NewServer(newFakeS3())
	t.Cleanup(srv.Close)
	testBlobs(t, newClient(t, srv.URL))
}

func testBlobs(t *testing.T, c *s3.Client) {
	bucket := createBucket(t, c)
	b := s3stage.OpenBlobs(c, bucket, "state/")
	data := bytes.Repeat([]byte("blob"), 100_000)
	sum, other := sha256.Sum256(data), sha256.Sum256([]byte("other"))
	const key = "eu/engineering/0000000001-0123-inventory.json.gz"
	if _, err := b.Get(t.Context(), key, sum); !errors.Is(err, replication.ErrNotStaged) {
		t.Errorf("Get of what isn't there: %v, want ErrNotStaged", err)
	}
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("state/" + key), Body: bytes.NewReader(data)}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), key, sum); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := b.Get(t.Context(), key, other); !errors.Is(err, replication.ErrContentMismatch) {
		t.Errorf("Get with another checksum: %v, want ErrContentMismatch", err)
	}
}

// testRefused sends what only a server can refuse.
func testRefused(t *testing.T, c *s3.Client) {
	_, _, err := s3stage.Open(c, "chefsync-no-such-bucket", "").Open(t.Context(), keyOf("x"))
	if fault.ClassOf(err) != fault.Local {
		t.Errorf("no bucket: %v of class %s, want local", err, fault.ClassOf(err))
	}
}
