package cloudtest

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awsclient"
)

// The region and account of an emulator.
const (
	Region  = "us-east-1"
	Account = "111122223333"
)

// Environment returns variables that make the SDK use an emulator and no configuration of
// the machine. Emulators send other checksums than the SDK expects.
func Environment(endpoint string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": Region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	}
}

// Config returns the configuration of the SDK for an emulator.
func Config(ctx context.Context, endpoint string) (aws.Config, error) {
	return awsclient.LoadConfig(ctx, config.WithRegion(Region), config.WithBaseEndpoint(endpoint),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
}

// Resources returns the names of the resources of a stack on an emulator.
func Resources(stack, endpoint string) cloud.Resources {
	return cloud.Resources{
		Stack: stack, Region: Region, Table: stack + "-table", Bucket: stack + "-bucket",
		Sync: stack + "-sync", Manager: stack + "-manager", Changes: stack + "-changes", Web: stack + "-web",
		SyncLog: "/aws/lambda/" + stack + "-sync", ManagerLog: "/aws/lambda/" + stack + "-manager", ChangesLog: "/aws/lambda/" + stack + "-changes",
		WebLog:      "/aws/lambda/" + stack + "-web",
		DeadLetters: endpoint + "/" + Account + "/" + stack,
	}
}
