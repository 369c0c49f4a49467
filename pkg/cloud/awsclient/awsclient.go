// Package awsclient loads the configuration that clients of the AWS SDK share.
package awsclient

import (
	"context"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// LoadConfig loads the SDK's default configuration. Its HTTP client keeps the response to a
// request that the server answers fast, see [httpClient].
func LoadConfig(ctx context.Context, options ...func(*config.LoadOptions) error) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, err
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient() // as a service's client does
	}
	cfg.HTTPClient = httpClient{cfg.HTTPClient}
	return cfg, nil
}

// httpClient hides the WriteTo method of request bodies. The SDK closes a body when the
// response's header arrives; the transport may be about to check that nothing follows in the
// body, for which it uses WriteTo if there is one. The WriteTo of a closed body returns
// io.EOF, which the transport takes for a failure: it closes the connection before the
// response is read, and the SDK sends a request again that was served. Read has no such
// fault, since io.EOF is what it returns at the end.
type httpClient struct{ aws.HTTPClient }

// Do implements [aws.HTTPClient].
func (c httpClient) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.HTTPClient.Do(r)
}
