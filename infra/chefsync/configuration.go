package chefsync

import (
	"maps"

	"github.com/aws/aws-cdk-go/awscdk/v2"
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
func (s *ChefSync) addConfiguration() constructs.IDependable {
	properties := map[string]any{"Bucket": s.uploaded.bucket, "Key": s.uploaded.key}
	maps.Copy(properties, s.uploaded.properties)
	if s.aws.Removal == config.Destroy {
		properties["EmptyBucket"] = *s.Bucket.BucketArn()
	}
	resource := awscdk.NewCustomResource(s.Construct, jsii.String("Configuration"), &awscdk.CustomResourceProps{
		ResourceType: jsii.String(cloud.ConfigurationResource),
		ServiceToken: s.manager.FunctionArn(),
		// The default is an hour, if the manager doesn't respond.
		ServiceTimeout: durationSeconds(managerTimeout + 2*eventAge),
		Properties:     &properties,
	})
	resource.Node().AddDependency(s.Bucket, s.Table, s.DeadLetters, s.sync.Function, s.manager.Function)
	if s.changes != nil {
		resource.Node().AddDependency(s.changes.Function)
	}
	if s.web != nil {
		resource.Node().AddDependency(s.web.Node().DefaultChild()) // not its URL, which may be missing
	}
	return resource
}
