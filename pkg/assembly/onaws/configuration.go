package onaws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

// maxConfiguration is the most that is read of a configuration, in bytes. The
// parser refuses what is larger.
const maxConfiguration = 1<<20 + 1

// Configuration reads the configuration that the functions use. With the ETag of
// one that is known already it returns nil and that ETag if there is no newer one.
func (b *Backend) Configuration(ctx context.Context, known string) (c *config.Config, etag string, err error) {
	text, etag, err := b.object(ctx, b.resources.Bucket, cloud.ConfigKey, known)
	if err != nil || text == nil {
		return nil, etag, err
	}
	// A function has no file, home or environment that could add to it.
	c, err = config.Loader{}.Parse("s3://"+b.resources.Bucket+"/"+cloud.ConfigKey, text)
	if err != nil {
		return nil, "", &replication.Error{Op: "read the deployed configuration", Class: replication.Local, Hint: "correct the file and deploy again", Err: err}
	}
	return c, etag, nil
}

// Text reads a configuration that was uploaded elsewhere, as a deployment does.
func (b *Backend) Text(ctx context.Context, bucket, key string) ([]byte, error) {
	text, _, err := b.object(ctx, bucket, key, "")
	return text, err
}

// StoreConfiguration makes a text the configuration that the functions use. The
// caller has checked it.
func (b *Backend) StoreConfiguration(ctx context.Context, text []byte) error {
	_, err := b.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.resources.Bucket, Key: aws.String(cloud.ConfigKey), Body: bytes.NewReader(text), ContentType: aws.String("application/toml"),
	})
	return explain("store the configuration", b.resources.Bucket, cloud.ConfigKey, "s3:PutObject", err)
}

func (b *Backend) object(ctx context.Context, bucket, key, known string) (text []byte, etag string, err error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if known != "" {
		in.IfNoneMatch = &known
	}
	out, err := b.s3.GetObject(ctx, in)
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusNotModified {
		return nil, known, nil
	}
	if err != nil {
		return nil, "", explain("read the configuration", bucket, key, "s3:GetObject", err)
	}
	defer out.Body.Close() // only read
	text, err = io.ReadAll(io.LimitReader(out.Body, maxConfiguration))
	if err != nil {
		return nil, "", explain("read the configuration", bucket, key, "s3:GetObject", err)
	}
	return text, aws.ToString(out.ETag), nil
}

// explain gives an error of S3 its class and a hint.
func explain(op, bucket, key, permission string, err error) error {
	if err == nil {
		return nil
	}
	e := &replication.Error{Op: op, Server: "bucket " + bucket, Class: replication.Unreachable, Hint: "check the AWS credentials, the region and the network", Err: err}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return e
	}
	switch api.ErrorCode() {
	case "AccessDenied", "Forbidden":
		e.Class, e.Hint = replication.Denied, fmt.Sprintf("allow %s on arn:aws:s3:::%s/%s", permission, bucket, key)
	case "NoSuchKey", "NotFound":
		e.Class, e.Hint = replication.Local, "no configuration was deployed yet: deploy the stack"
	case "NoSuchBucket":
		e.Class, e.Hint = replication.Local, "deploy the stack, or check the region"
	default:
		e.Class, e.Hint = replication.Transient, "it is tried again"
	}
	return e
}
