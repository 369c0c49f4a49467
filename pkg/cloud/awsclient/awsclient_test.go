package awsclient_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"chefsync/pkg/cloud/awsclient"
)

// lateConn returns from the write of a request's body a while after the response has
// arrived, as on a machine that is busy.
type lateConn struct {
	net.Conn
	once     sync.Once
	answered chan struct{}
}

func (c *lateConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if !bytes.HasPrefix(p, []byte("POST ")) {
		<-c.answered
		time.Sleep(20 * time.Millisecond)
	}
	return n, err
}

func (c *lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.once.Do(func() { close(c.answered) })
	return n, err
}

func TestAFastResponseIsKept(t *testing.T) {
	var served atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond) // the header alone makes the SDK close the request's body
		_, _ = io.WriteString(w, `{"TableNames": ["one"]}`)
	}))
	defer srv.Close()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &lateConn{Conn: c, answered: make(chan struct{})}, err
	}
	cfg, err := awsclient.LoadConfig(t.Context(), config.WithRegion("us-east-1"), config.WithBaseEndpoint(srv.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DialContext = dial })))
	if err != nil {
		t.Fatal(err)
	}
	out, err := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true }).
		ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.TableNames) != 1 || served.Load() != 1 {
		t.Errorf("%d tables after %d requests, want 1 after 1", len(out.TableNames), served.Load())
	}
}
