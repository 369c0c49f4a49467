package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// addConfiguration adds the custom resource of the configuration: the file is uploaded
// under its hash, and CloudFormation invokes the manager, which checks and stores it.
// If the manager refuses it, the deployment is rolled back. Another organization
// changes this resource only. When the stack is removed with its data, the manager
// empties the bucket, which CloudFormation can't.
func (s *stack) addConfiguration() constructs.IDependable {
	file := awss3assets.NewAsset(s.scope, jsii.String("ConfigurationFile"), &awss3assets.AssetProps{Path: jsii.String(s.config.File)})
	properties := map[string]any{"Bucket": *file.S3BucketName(), "Key": *file.S3ObjectKey()}
	if s.aws.Removal == config.Destroy {
		properties["EmptyBucket"] = *s.bucket.BucketArn()
	}
	resource := awscdk.NewCustomResource(s.scope, jsii.String("Configuration"), &awscdk.CustomResourceProps{
		ResourceType: jsii.String(cloud.ConfigurationResource),
		ServiceToken: s.manager.FunctionArn(),
		// The default is an hour, if the manager doesn't respond.
		ServiceTimeout: awscdk.Duration_Seconds(jsii.Number((managerTimeout + 2*eventAge).Seconds())),
		Properties:     &properties,
	})
	dependOn(resource, s.bucket, s.table, s.deadLetters, s.sync.Function, s.manager.Function)
	if s.changes != nil {
		dependOn(resource, s.changes.Function)
	}
	if s.web != nil {
		dependOn(resource, s.web.Function)
	}
	return resource
}
