// Package onaws is the backend of a stack on AWS: records in its table, cookbook files
// and the configuration in its bucket, secrets where the configuration names them.
package onaws

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
	"chefsync/pkg/secret"
	"chefsync/pkg/stage/s3stage"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/dynamo/previous"
)

// Backend is the backend of a stack. Make it with New.
type Backend struct {
	*store.Opener
	resources cloud.Resources
	s3        *s3.Client
	previous  previous.Importer
	stage     *s3stage.Stage
	secrets   map[string]config.Resolver
}

// New returns the backend of a stack. It sends nothing. Endpoints other than those
// of AWS come with the configuration of the SDK (AWS_ENDPOINT_URL); S3 is then
// addressed by path, as emulators need it.
func New(cfg aws.Config, r cloud.Resources) *Backend {
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	table := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.DisableValidateResponseChecksum = o.BaseEndpoint != nil // emulators send other checksums than AWS
	})
	sm, parameters := secretsmanager.NewFromConfig(cfg), ssm.NewFromConfig(cfg)
	b := &Backend{
		resources: r, s3: objects,
		stage: s3stage.Open(objects, r.Bucket, cloud.StagePrefix),
		secrets: map[string]config.Resolver{
			"secretsmanager": func(ctx context.Context, name string) ([]byte, error) { return secret.FromManager(ctx, sm, name) },
			"ssm": func(ctx context.Context, name string) ([]byte, error) {
				return secret.FromParameters(ctx, parameters, name)
			},
		},
	}
	b.previous = previous.Importer{API: table, Table: r.Table, Blobs: s3stage.OpenBlobs(objects, r.Bucket, cloud.StatePrefix),
		KV: dynamo.Open(table, r.Table), Now: time.Now, Sources: b.sourceSpaces}
	b.Opener = store.NewOpener(b.openStore)
	return b
}

// openStore returns the store, after importing the records of the previous version once.
func (b *Backend) openStore(ctx context.Context) (*store.Store, error) {
	if err := b.previous.Run(ctx); err != nil {
		return nil, err
	}
	return store.New(b.previous.KV), nil
}

// sourceSpaces returns the spaces of the sources in the deployed configuration.
func (b *Backend) sourceSpaces(ctx context.Context) (names []string, err error) {
	c, _, err := b.Configuration(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, p := range c.Pairs() {
		names = append(names, p.Space)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Stage implements assembly.Backend.
func (b *Backend) Stage(context.Context) (replication.Stage, error) { return b.stage, nil }

// Secrets implements assembly.Backend.
func (b *Backend) Secrets() map[string]config.Resolver { return b.secrets }

// Open returns the fleet of the deployed configuration.
func (b *Backend) Open(ctx context.Context, o assembly.Options) (*assembly.Fleet, error) {
	c, _, err := b.Configuration(ctx, "")
	if err != nil {
		return nil, err
	}
	o.Config, o.Backend = c, b
	return assembly.New(o), nil
}
