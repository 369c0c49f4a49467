package s3stage_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"chefsync/pkg/cloud/awsclient"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage/s3stage"
)

// serveEnv makes a child process of the test binary an S3 server, so that what it
// holds isn't taken for memory of the stage.
const serveEnv = "CHEFSYNC_TEST_SERVE_S3"

// TestMain makes the test binary a server when a test starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		srv := httptest.NewServer(newFakeS3())
		fmt.Println(srv.URL)
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newFakeS3() http.Handler {
	return gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
}

// startServer starts an S3 server in a process of its own and returns its URL.
func startServer(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// newClient is a client of an endpoint. Its credentials are those of the
// environment, where it names some.
func newClient(t *testing.T, endpoint string, options ...func(*s3.Options)) *s3.Client {
	t.Helper()
	load := []func(*config.LoadOptions) error{config.WithRegion("us-east-1")}
	if os.Getenv("AWS_ACCESS_KEY_ID") == "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	}
	cfg, err := awsclient.LoadConfig(t.Context(), load...)
	if err != nil {
		t.Fatal(err)
	}
	return s3.NewFromConfig(cfg, append([]func(*s3.Options){func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = &endpoint, true
	}}, options...)...)
}

// createBucket makes a bucket that is emptied and removed at the end.
func createBucket(t *testing.T, c *s3.Client) string {
	t.Helper()
	name := fmt.Sprintf("chefsync-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for _, key := range listObjects(t, c, name) {
			if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &name, Key: &key}); err != nil {
				t.Error(err)
			}
		}
		if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name}); err != nil {
			t.Error(err)
		}
	})
	return name
}

func listObjects(t *testing.T, c *s3.Client, bucket string) (keys []string) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

// newStages makes empty stages, each below a prefix of its own.
func newStages(c *s3.Client, bucket string) func(t *testing.T) replication.Stage {
	var n atomic.Int64
	return func(t *testing.T) replication.Stage {
		prefix := fmt.Sprintf("stage-%d/", n.Add(1))
		return &prefixedStage{s3stage.Open(c, bucket, prefix).SetSpool(t.TempDir(), 64<<20), prefix}
	}
}

// prefixedStage is a stage whose prefix is known, for tests that look behind it.
type prefixedStage struct {
	*s3stage.Stage
	prefix string
}

// damageObject changes a byte of what is stored under a key.
func damageObject(c *s3.Client, bucket string) func(*testing.T, replication.Stage, replication.StageKey) {
	return func(t *testing.T, s replication.Stage, key replication.StageKey) {
		name := s.(*prefixedStage).prefix + key.Space + "/" + key.Checksum[:2] + "/" + key.Checksum
		out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &name})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &name, Body: bytes.NewReader(content)}); err != nil {
			t.Fatal(err)
		}
	}
}

// scriptedServer is a server that answers each request by the next of its functions, and
// the rest by the last one.
type scriptedServer struct {
	mu   sync.Mutex
	next []http.HandlerFunc
	seen []*http.Request
	srv  *httptest.Server
}

// stop waits for the requests under way, and returns all that came.
func (a *scriptedServer) stop() []*http.Request {
	a.srv.Close()
	return a.seen
}

func (a *scriptedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	h := a.next[0]
	if len(a.next) > 1 {
		a.next = a.next[1:]
	}
	a.seen = append(a.seen, r.Clone(context.Background()))
	a.mu.Unlock()
	h(w, r)
}

// answerWith is an error as S3 writes it.
func answerWith(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
	}
}

func serveAnswers(t *testing.T, next ...http.HandlerFunc) (*scriptedServer, *s3.Client) {
	t.Helper()
	a := &scriptedServer{next: next}
	a.srv = httptest.NewServer(a)
	t.Cleanup(a.srv.Close)
	return a, newClient(t, a.srv.URL, func(o *s3.Options) {
		o.Retryer = quickRetryer{aws.NopRetryer{}}
	})
}

// quickRetryer retries twice at once.
type quickRetryer struct{ aws.NopRetryer }

func (quickRetryer) IsErrorRetryable(error) bool                  { return true }
func (quickRetryer) MaxAttempts() int                             { return 3 }
func (quickRetryer) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
func (quickRetryer) GetInitialToken() func(error) error           { return func(error) error { return nil } }
func (quickRetryer) GetRetryToken(context.Context, error) (func(error) error, error) {
	return func(error) error { return nil }, nil
}
