package onaws

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chefsync/pkg/cloud/awserr"
)

// EmptyBucket deletes all objects in the stack's bucket, which has the given ARN, with
// all versions, and returns their number. A pass may still be running, so it denies
// writes first. It may be called again.
func (b *Backend) EmptyBucket(ctx context.Context, arn string) (deleted int, err error) {
	bucket := b.resources.Bucket
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"%s/*"}]}`, arn)
	_, err = b.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy})
	if err != nil && !isUnimplemented(err) { // an emulator without policies
		return 0, wrapError(ctx, "deny writes", bucket, err)
	}
	for pages := s3.NewListObjectVersionsPaginator(b.s3, &s3.ListObjectVersionsInput{Bucket: &bucket}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return deleted, wrapError(ctx, "list the objects", bucket, err)
		}
		n, err := b.deleteVersions(ctx, page)
		deleted += n
		if err != nil {
			return deleted, wrapError(ctx, "delete the objects", bucket, err)
		}
	}
	return deleted, nil
}

// deleteVersions deletes what a listing shows: at most a thousand, as S3 takes them.
func (b *Backend) deleteVersions(ctx context.Context, page *s3.ListObjectVersionsOutput) (deleted int, err error) {
	var all []types.ObjectIdentifier
	for _, v := range page.Versions {
		all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	for _, m := range page.DeleteMarkers {
		all = append(all, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
	}
	if len(all) == 0 {
		return 0, nil
	}
	out, err := b.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &b.resources.Bucket,
		Delete: &types.Delete{Objects: all, Quiet: aws.Bool(true)}})
	if err != nil {
		return 0, err
	}
	for _, e := range out.Errors {
		err = errors.Join(err, fmt.Errorf("%s: %s", aws.ToString(e.Key), aws.ToString(e.Code)))
	}
	return len(all) - len(out.Errors), err
}

// isUnimplemented reports whether a server doesn't implement an operation.
func isUnimplemented(err error) bool {
	var response *smithyhttp.ResponseError
	return awserr.Code(err) == "NotImplemented" || errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotImplemented
}
