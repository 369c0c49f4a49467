package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/store/dynamo"
)

// How far back the table can be brought, in days. The bucket keeps as long what the
// previous version dropped there, or a table of its time would point at nothing.
const recoveryDays = 35

// addKey takes the customer's key that everything is encrypted with which the stack
// keeps. Its policy is its owner's, so nothing is added to it. Without one, keys
// that AWS owns are used: nothing is paid for a request, and nothing is to be
// granted.
func (s *stack) addKey() {
	if s.aws.KMSKey != "" {
		s.key = awskms.Key_FromKeyArn(s.scope, jsii.String("Key"), &s.aws.KMSKey)
	}
}

// addTable makes the table of the state.
func (s *stack) addTable() {
	d := dynamo.Definition()
	var encryption awsdynamodb.TableEncryption
	if s.key != nil {
		encryption = awsdynamodb.TableEncryption_CUSTOMER_MANAGED
	}
	s.table = awsdynamodb.NewTable(s.scope, jsii.String("Table"), &awsdynamodb.TableProps{
		Encryption: encryption, EncryptionKey: s.key,
		PartitionKey:        &awsdynamodb.Attribute{Name: &d.PartitionKey, Type: awsdynamodb.AttributeType_STRING},
		SortKey:             &awsdynamodb.Attribute{Name: &d.SortKey, Type: awsdynamodb.AttributeType_STRING},
		TimeToLiveAttribute: &d.TTLAttribute,
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true), RecoveryPeriodInDays: jsii.Number(recoveryDays),
		},
		DeletionProtection: jsii.Bool(s.aws.Removal == config.Retain),
		RemovalPolicy:      s.removal(),
	})
}

// addBucket makes the bucket of staged files and of the configuration. It keeps earlier
// versions: those of the configuration tell who changed what.
// Staged files can be fetched again, so they and their versions go early.
func (s *stack) addBucket() {
	encryption, bucketKey := awss3.BucketEncryption_S3_MANAGED, (*bool)(nil)
	if s.key != nil {
		// With a key of the bucket, KMS isn't asked for each object.
		encryption, bucketKey = awss3.BucketEncryption_KMS, jsii.Bool(true)
	}
	days := func(n float64) awscdk.Duration { return awscdk.Duration_Days(jsii.Number(n)) }
	s.bucket = awss3.NewBucket(s.scope, jsii.String("Bucket"), &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		Encryption:        encryption,
		EncryptionKey:     s.key,
		BucketKeyEnabled:  bucketKey,
		Versioned:         jsii.Bool(true),
		LifecycleRules: &[]*awss3.LifecycleRule{
			{Id: jsii.String("stage"), Prefix: jsii.String(cloud.StagePrefix), Expiration: days(7), NoncurrentVersionExpiration: days(1)},
			{Id: jsii.String("dropped-state"), Prefix: jsii.String(cloud.StatePrefix),
				NoncurrentVersionExpiration: days(recoveryDays), ExpiredObjectDeleteMarker: jsii.Bool(true)},
			{Id: jsii.String("broken-uploads"), AbortIncompleteMultipartUploadAfter: days(1)},
		},
		RemovalPolicy: s.removal(),
	})
}
