package onaws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// maxConfiguration bounds what is read of a configuration, in bytes. The parser refuses
// larger ones.
const maxConfiguration = 1<<20 + 1

// Configuration reads the configuration that the functions use. If it still has the
// ETag known, it returns nil and that ETag.
func (b *Backend) Configuration(ctx context.Context, known string) (c *config.Config, etag string, err error) {
	text, etag, err := b.readObject(ctx, b.resources.Bucket, cloud.ConfigKey, known)
	if err != nil || text == nil {
		return nil, etag, err
	}
	// A function has no file, home or environment that could add to it.
	c, err = config.Loader{}.Parse("s3://"+b.resources.Bucket+"/"+cloud.ConfigKey, text)
	if err != nil {
		return nil, "", &fault.Error{Op: "read the deployed configuration", Class: fault.Local, Hint: "correct the file and deploy again", Err: err}
	}
	return c, etag, nil
}

// ReadUpload reads a configuration that a deployment has uploaded.
func (b *Backend) ReadUpload(ctx context.Context, bucket, key string) ([]byte, error) {
	text, _, err := b.readObject(ctx, bucket, key, "")
	return text, err
}

// StoreConfiguration stores the configuration that the functions use. The caller must
// have checked it.
func (b *Backend) StoreConfiguration(ctx context.Context, text []byte) error {
	_, err := b.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.resources.Bucket, Key: aws.String(cloud.ConfigKey), Body: bytes.NewReader(text), ContentType: aws.String("application/toml"),
	})
	return wrapError(ctx, "store the configuration", b.resources.Bucket, err)
}

func (b *Backend) readObject(ctx context.Context, bucket, key, known string) (text []byte, etag string, err error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if known != "" {
		in.IfNoneMatch = &known
	}
	out, err := b.s3.GetObject(ctx, in)
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotModified {
		return nil, known, nil
	}
	if err != nil {
		return nil, "", wrapError(ctx, "read the configuration", bucket, err)
	}
	defer out.Body.Close() // only read
	text, err = io.ReadAll(io.LimitReader(out.Body, maxConfiguration))
	if err != nil {
		return nil, "", wrapError(ctx, "read the configuration", bucket, err)
	}
	return text, aws.ToString(out.ETag), nil
}

// wrapError wraps an error of S3 with its class and a hint.
func wrapError(ctx context.Context, op, bucket string, err error) error {
	var e *fault.Error
	if err = awserr.Wrap(ctx, op, "bucket "+bucket, err); errors.As(err, &e) && awserr.Code(err) == "NoSuchKey" {
		e.Class, e.Hint = fault.Local, "no configuration was deployed yet: deploy the stack"
	}
	return err
}
