package chefsync

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

// recoveryDays is how far back the table can be restored. The bucket keeps what the
// previous version deleted there for as long, because restored records may refer to it.
const recoveryDays = 35

// addKey adds the customer's key that encrypts all data of the stack. Its owner has its
// policy, so nothing is added to it. Without one, keys that AWS owns are used, which
// cost nothing and need no permissions.
func (s *ChefSync) addKey() {
	if s.aws.KMSKey != "" {
		s.key = awskms.Key_FromKeyArn(s.Construct, jsii.String("Key"), &s.aws.KMSKey)
	}
}

// addTable adds the table of the records.
func (s *ChefSync) addTable() {
	d := dynamo.Definition()
	var encryption awsdynamodb.TableEncryption
	if s.key != nil {
		encryption = awsdynamodb.TableEncryption_CUSTOMER_MANAGED
	}
	s.Table = awsdynamodb.NewTable(s.Construct, jsii.String("Table"), &awsdynamodb.TableProps{
		Encryption: encryption, EncryptionKey: s.key,
		PartitionKey:        &awsdynamodb.Attribute{Name: &d.PartitionKey, Type: awsdynamodb.AttributeType_STRING},
		SortKey:             &awsdynamodb.Attribute{Name: &d.SortKey, Type: awsdynamodb.AttributeType_STRING},
		TimeToLiveAttribute: &d.TTLAttribute,
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true), RecoveryPeriodInDays: jsii.Number(recoveryDays),
		},
		DeletionProtection: jsii.Bool(s.aws.Removal == config.Retain),
		RemovalPolicy:      s.removalPolicy(),
	})
}

// addBucket adds the bucket of staged files and of the configuration. It is versioned for
// the history of the configuration. Staged files can be fetched again, so they and
// their versions expire early.
func (s *ChefSync) addBucket() {
	encryption, bucketKey := awss3.BucketEncryption_S3_MANAGED, (*bool)(nil)
	if s.key != nil {
		// With a key of the bucket, KMS isn't asked for each object.
		encryption, bucketKey = awss3.BucketEncryption_KMS, jsii.Bool(true)
	}
	days := func(n float64) awscdk.Duration { return awscdk.Duration_Days(jsii.Number(n)) }
	s.Bucket = awss3.NewBucket(s.Construct, jsii.String("Bucket"), &awss3.BucketProps{
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
		RemovalPolicy: s.removalPolicy(),
	})
}
