// Package environment is what an execution environment of a function loads once
// and keeps: the stack's resources, the backend, the configuration and the
// clients of the Chef Servers with their keys. Configuration and keys are looked
// at again periodically, so that a warm environment follows a deployment and a
// rotated key.
package environment

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"chefsync/functions/internal/metrics"
	"chefsync/pkg/assembly"
	"chefsync/pkg/assembly/onaws"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awsclient"
)

// How long a warm environment uses what it has read.
const (
	// ConfigurationAge bounds how long a new configuration takes to be seen: one
	// conditional read of S3 each time, so that an empty poll needs none.
	ConfigurationAge = 5 * time.Minute
	// KeyAge is when keys are read again even though they work.
	KeyAge = time.Hour
)

// Environment is one execution environment. It is safe for concurrent use.
type Environment struct {
	Resources cloud.Resources
	AWS       aws.Config
	Backend   *onaws.Backend
	Log       *slog.Logger
	Metrics   *metrics.Writer
	Now       func() time.Time

	owner         string
	mu            sync.Mutex
	fleet         *assembly.Fleet
	etag          string
	checkedAt     time.Time // when the configuration was last checked
	keysDroppedAt time.Time // when the keys were dropped last
}

// Load reads the environment variables that the stack sets. It sends nothing.
func Load(ctx context.Context, env func(string) (string, bool), out io.Writer) (*Environment, error) {
	r, err := cloud.FromEnvironment(env)
	if err != nil {
		return nil, err
	}
	cfg, err := awsclient.LoadConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the configuration of AWS: %w", err)
	}
	return New(cfg, r, Logger(env, out), out), nil
}

// New returns an environment. It sends nothing.
func New(cfg aws.Config, r cloud.Resources, log *slog.Logger, out io.Writer) *Environment {
	return &Environment{
		Resources: r, AWS: cfg, Backend: onaws.New(cfg, r), Log: log,
		Metrics: &metrics.Writer{Out: out, Stack: r.Stack}, Now: wallClock, owner: assembly.NewOwner(),
	}
}

// wallClock returns the time without the reading of the monotonic clock, which may stop while
// Lambda has frozen the environment: what was read before would seem to be seconds old.
func wallClock() time.Time { return time.Now().Round(0) }

// Logger returns a logger that writes JSON lines of at least the level that is
// configured in Lambda, Info by default.
func Logger(env func(string) (string, bool), out io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if name, ok := env("AWS_LAMBDA_LOG_LEVEL"); ok {
		_ = level.UnmarshalText([]byte(name)) // TRACE and FATAL have no counterpart: Info
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
}

// Fleet returns the servers and pairs of the deployed configuration. While a newer
// configuration can't be read, the last one stays in use. With fresh, the
// configuration is checked now whatever its age.
func (e *Environment) Fleet(ctx context.Context, fresh bool) (*assembly.Fleet, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	if e.fleet != nil && now.Sub(e.keysDroppedAt) >= KeyAge {
		e.fleet.DropClients()
		e.keysDroppedAt = now
	}
	if e.fleet != nil && !fresh && now.Sub(e.checkedAt) < ConfigurationAge {
		return e.fleet, nil
	}
	c, etag, err := e.Backend.Configuration(ctx, e.etag)
	switch {
	case err != nil && e.fleet == nil:
		return nil, err
	case err != nil:
		e.Log.Warn("the configuration can't be read again; the last one stays in use", "error", err.Error())
	case c != nil:
		e.fleet = assembly.New(assembly.Options{Config: c, Backend: e.Backend, Log: e.Log, Now: e.Now, Owner: e.owner, RecordEvery: cloud.RecordEvery})
		e.etag, e.keysDroppedAt = etag, now
	}
	e.checkedAt = now
	return e.fleet, nil
}

// FleetWith returns a fleet for which find succeeds. What it doesn't find may have
// been deployed a moment ago, so it is called again with a fresh configuration.
func (e *Environment) FleetWith(ctx context.Context, find func(*assembly.Fleet) error) (*assembly.Fleet, error) {
	fleet, err := e.Fleet(ctx, false)
	if err != nil || find(fleet) == nil {
		return fleet, err
	}
	if fleet, err = e.Fleet(ctx, true); err != nil {
		return nil, err
	}
	return fleet, find(fleet)
}

// WriteMetrics writes metrics, and logs a warning when it can't: they are no reason
// to fail.
func (e *Environment) WriteMetrics(values map[string]metrics.Value) {
	if err := e.Metrics.Write(e.Now(), values); err != nil {
		e.Log.Warn("metrics can't be written", "error", err.Error())
	}
}

// deadlineMargin is the time that work leaves before the deadline of its invocation.
const deadlineMargin = 5 * time.Second

// WithMargin returns a context that ends early enough before the invocation's for the
// function to record and return what it did.
func WithMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-deadlineMargin))
}

// Main is the main function of a Lambda function: it loads the environment and serves
// events with the handler made for it. If it can't load the environment, it logs the
// error and exits.
func Main(handler func(*Environment) any) {
	e, err := Load(context.Background(), os.LookupEnv, os.Stdout)
	if err != nil {
		Logger(os.LookupEnv, os.Stdout).Error("the function can't start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(handler(e))
}
