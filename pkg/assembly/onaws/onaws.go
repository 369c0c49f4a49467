// Package onaws is the backend of a stack on AWS: state and journals in its
// table, cookbook files and large parts of the state in its bucket, secrets where
// the configuration names them, and the configuration itself in the bucket.
package onaws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/secret"
	"chefsync/pkg/stage/s3stage"
	"chefsync/pkg/state/dynamostate"
)

// Backend is the backend of a stack. Make it with New.
type Backend struct {
	resources cloud.Resources
	s3        *s3.Client
	state     *dynamostate.State
	stage     *s3stage.Stage
	secrets   map[string]config.Resolver
}

// New makes the backend of a stack. It sends nothing. Endpoints other than those
// of AWS come with the configuration of the SDK (AWS_ENDPOINT_URL); S3 is then
// asked by path, as emulators want it.
func New(cfg aws.Config, r cloud.Resources) *Backend {
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	table := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.DisableValidateResponseChecksum = o.BaseEndpoint != nil // emulators send other sums than AWS
	})
	sm, parameters := secretsmanager.NewFromConfig(cfg), ssm.NewFromConfig(cfg)
	return &Backend{
		resources: r, s3: objects,
		state: dynamostate.Open(table, r.Table, s3stage.OpenBlobs(objects, r.Bucket, cloud.StatePrefix)),
		stage: s3stage.Open(objects, r.Bucket, cloud.StagePrefix, s3stage.Options{}),
		secrets: map[string]config.Resolver{
			"secretsmanager": func(ctx context.Context, name string) ([]byte, error) { return secret.FromManager(ctx, sm, name) },
			"ssm": func(ctx context.Context, name string) ([]byte, error) {
				return secret.FromParameters(ctx, parameters, name)
			},
		},
	}
}

// State implements assembly.Backend.
func (b *Backend) State(context.Context) (replication.State, error) { return b.state, nil }

// Stage implements assembly.Backend.
func (b *Backend) Stage(context.Context) (replication.Stage, error) { return b.stage, nil }

// Journals implements assembly.Backend.
func (b *Backend) Journals(context.Context) (journal.ScanStore, error) {
	return b.state.Journals(), nil
}

// Health implements assembly.Backend.
func (b *Backend) Health(context.Context) (health.Store, error) { return b.state.Health(), nil }

// Secrets implements assembly.Backend.
func (b *Backend) Secrets() map[string]config.Resolver { return b.secrets }

// Open makes the fleet of the deployed configuration.
func (b *Backend) Open(ctx context.Context, o assembly.Options) (*assembly.Fleet, error) {
	c, _, err := b.Configuration(ctx, "")
	if err != nil {
		return nil, err
	}
	o.Config, o.Backend = c, b
	return assembly.New(o), nil
}
