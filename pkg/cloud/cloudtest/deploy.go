package cloudtest

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 returns a client for an emulator, where buckets have no host names.
func S3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
}

// CreateResources creates a table and buckets, as CloudFormation does for a stack.
func CreateResources(ctx context.Context, cfg aws.Config, table *dynamodb.CreateTableInput, buckets ...string) error {
	if _, err := dynamodb.NewFromConfig(cfg).CreateTable(ctx, table); err != nil {
		return err
	}
	for _, bucket := range buckets {
		if _, err := S3(cfg).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			return err
		}
	}
	return nil
}
