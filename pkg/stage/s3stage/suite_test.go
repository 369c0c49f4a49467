package s3stage_test

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/stage/stagetest"
)

func TestSuite(t *testing.T) {
	runSuite(t, newClient(t, startServer(t)))
}

func runSuite(t *testing.T, c *s3.Client) {
	bucket := createBucket(t, c)
	stagetest.Run(t, newStages(c, bucket), damageObject(c, bucket))
}

// endpointName names the URL of an S3 server that the tests are to run against
// too. Buckets are made and deleted; the credentials are those of the
// environment (AWS_ACCESS_KEY_ID). versitygw v1.8.0 passes them all; unlike the
// server in this process it checks signatures and checksums.
const endpointName = "CHEFSYNC_S3_ENDPOINT"

func TestAgainstAnEndpoint(t *testing.T) {
	endpoint := os.Getenv(endpointName)
	if endpoint == "" {
		t.Skipf("SKIPPED: %s isn't set", endpointName)
	}
	c := newClient(t, endpoint)
	t.Run("stage", func(t *testing.T) { runSuite(t, c) })
	t.Run("blobs", func(t *testing.T) { testBlobs(t, c) })
	t.Run("refused", func(t *testing.T) { testRefused(t, c) })
}
