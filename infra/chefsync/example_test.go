//go:build infra

package chefsync_test

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"chefsync/infra/chefsync"
	"chefsync/pkg/config"
)

// A stack of a CDK app of yours: the name is that of the configuration.
func ExampleNew() {
	out, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(out)
	app := awscdk.NewApp(&awscdk.AppProps{Outdir: &out})

	c, err := config.Loader{}.Load("../testdata/chef-sync.toml")
	if err != nil {
		panic(err)
	}
	if err := c.CheckAWS(); err != nil {
		panic(err)
	}
	stack := awscdk.NewStack(app, jsii.String("Replication"), &awscdk.StackProps{StackName: &c.AWS.Stack})
	replication := chefsync.New(stack, "ChefSync", &chefsync.Props{
		Config: c,
		// In a real app: awslambda.Code_FromAsset of the function's ZIP file of the release.
		Code: func(function string) awslambda.Code {
			return awslambda.Code_FromAsset(jsii.String("../permissions"), nil)
		},
	})
	awscdk.NewCfnOutput(stack, jsii.String("RecordsArn"), &awscdk.CfnOutputProps{Value: replication.Table.TableArn()})

	tables := assertions.Template_FromStack(stack, nil).FindResources(jsii.String("AWS::DynamoDB::Table"), nil)
	fmt.Println(*stack.StackName(), len(*tables))
	// Output: chef-sync 1
}
