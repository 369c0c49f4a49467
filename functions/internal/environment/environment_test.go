package environment_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
)

// configText returns a configuration of some organizations.
func configText(orgs ...string) []byte {
	var b strings.Builder
	b.WriteString("[primary]\nurl = \"https://chef.example.com\"\nuser = \"u\"\nkey = \"secretsmanager:p\"\n" +
		"[[replica]]\nname = \"eu\"\nurl = \"https://eu.example.com\"\nuser = \"u\"\nkey = \"secretsmanager:eu\"\n")
	for _, org := range orgs {
		fmt.Fprintf(&b, "[[organization]]\nsource = %q\n", org)
	}
	return []byte(b.String())
}

// testEnvironment is an environment with a clock that the test moves.
type testEnvironment struct {
	*environment.Environment
	aws *cloudtest.Server
	now time.Time
	log bytes.Buffer
}

func newTestEnvironment(t *testing.T) *testEnvironment {
	t.Helper()
	w := &testEnvironment{aws: cloudtest.Start(), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	t.Cleanup(w.aws.Close)
	cfg, err := cloudtest.Config(t.Context(), w.aws.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := cloudtest.Resources("chef-sync", w.aws.URL)
	w.Environment = environment.New(cfg, r, environment.Logger(func(string) (string, bool) { return "", false }, &w.log), &w.log)
	w.Now = func() time.Time { return w.now }
	if _, err := cloudtest.S3(cfg).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &r.Bucket}); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTheClockGoesOnWhileTheEnvironmentIsFrozen: ages are those of the wall clock. The
// monotonic clock, which Go prefers, may stop between two invocations.
func TestTheClockGoesOnWhileTheEnvironmentIsFrozen(t *testing.T) {
	e := environment.New(aws.Config{}, cloud.Resources{}, nil, nil)
	if now := e.Now().String(); strings.Contains(now, "m=") {
		t.Errorf("%s has a reading of the monotonic clock", now)
	}
}

func (w *testEnvironment) deploy(t *testing.T, orgs ...string) {
	t.Helper()
	if err := w.Backend.StoreConfiguration(t.Context(), configText(orgs...)); err != nil {
		t.Fatal(err)
	}
}

// countPairs counts the pairs of the configuration in use.
func (w *testEnvironment) countPairs(t *testing.T, fresh bool) int {
	t.Helper()
	fleet, err := w.Fleet(t.Context(), fresh)
	if err != nil {
		t.Fatal(err)
	}
	return len(fleet.Pairs())
}

func TestAWarmEnvironmentReloadsTheConfiguration(t *testing.T) {
	w := newTestEnvironment(t)
	w.deploy(t, "acme")
	if n := w.countPairs(t, false); n != 1 {
		t.Fatalf("%d pairs", n)
	}
	w.deploy(t, "acme", "lab")
	w.aws.ResetCalls()
	w.now = w.now.Add(environment.ConfigurationAge - time.Second)
	if n := w.countPairs(t, false); n != 1 || len(w.aws.Calls()) != 0 {
		t.Errorf("%d pairs after calls %v; the configuration is young enough", n, w.aws.Calls())
	}
	w.now = w.now.Add(time.Second)
	if n := w.countPairs(t, false); n != 2 {
		t.Errorf("%d pairs when it has expired", n)
	}
	w.deploy(t, "acme", "lab", "more")
	if n := w.countPairs(t, true); n != 3 {
		t.Errorf("%d pairs of a fresh configuration", n)
	}
}

func TestAConfigurationThatCannotBeReadAgainStaysInUse(t *testing.T) {
	w := newTestEnvironment(t)
	if _, err := w.Fleet(t.Context(), false); err == nil {
		t.Error("there is no configuration yet, and no error")
	}
	w.deploy(t, "acme")
	w.countPairs(t, false)
	object := "GET /" + w.Resources.Bucket + "/" + cloud.ConfigKey
	w.aws.Refuse(object, "AccessDenied")
	w.now = w.now.Add(time.Hour)
	if n := w.countPairs(t, false); n != 1 || !strings.Contains(w.log.String(), "stays in use") {
		t.Errorf("%d pairs, log %s", n, w.log.String())
	}
	w.aws.Refuse(object, "")
	w.deploy(t, "acme", "lab")
	if n := w.countPairs(t, true); n != 2 {
		t.Errorf("%d pairs when it can be read", n)
	}
}

func TestLoadNamesTheMissingVariable(t *testing.T) {
	_, err := environment.Load(t.Context(), func(string) (string, bool) { return "", false }, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "CHEF_SYNC_STACK") {
		t.Errorf("error %v", err)
	}
}
