// Package environment is what an execution environment of a function loads once
// and keeps: the stack's resources, the backend, the configuration and the
// clients of the Chef Servers with their keys. Configuration and keys are looked
// at again now and then, so that a warm environment follows a deployment and a
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
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"chefsync/functions/internal/metrics"
	"chefsync/pkg/assembly"
	"chefsync/pkg/assembly/onaws"
	"chefsync/pkg/cloud"
)

// How long a warm environment believes what it has read.
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

	owner string
	mu    sync.Mutex
	fleet *assembly.Fleet
	etag  string
	read  time.Time // when the configuration was last looked at
	keys  time.Time // when the keys were dropped last
}

// Load reads the environment variables that the stack sets. It sends nothing.
func Load(ctx context.Context, env func(string) (string, bool), out io.Writer) (*Environment, error) {
	r, err := cloud.FromEnvironment(env)
	if err != nil {
		return nil, err
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the configuration of AWS: %w", err)
	}
	return New(cfg, r, Logger(env, out), out), nil
}

// New makes an environment. It sends nothing.
func New(cfg aws.Config, r cloud.Resources, log *slog.Logger, out io.Writer) *Environment {
	return &Environment{
		Resources: r, AWS: cfg, Backend: onaws.New(cfg, r), Log: log,
		Metrics: &metrics.Writer{Out: out, Stack: r.Stack}, Now: time.Now, owner: assembly.NewOwner(),
	}
}

// Logger writes JSON lines of at least the level that Lambda was told, Info by
// default.
func Logger(env func(string) (string, bool), out io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if word, ok := env("AWS_LAMBDA_LOG_LEVEL"); ok {
		_ = level.UnmarshalText([]byte(word)) // TRACE and FATAL have no counterpart: Info
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
}

// Fleet is the servers and pairs of the deployed configuration. A configuration
// that can't be read again is no failure while an older one is at hand. With
// fresh, it is looked at now whatever its age.
func (e *Environment) Fleet(ctx context.Context, fresh bool) (*assembly.Fleet, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	if e.fleet != nil && now.Sub(e.keys) >= KeyAge {
		e.fleet.Forget()
		e.keys = now
	}
	if e.fleet != nil && !fresh && now.Sub(e.read) < ConfigurationAge {
		return e.fleet, nil
	}
	c, etag, err := e.Backend.Configuration(ctx, e.etag)
	switch {
	case err != nil && e.fleet == nil:
		return nil, err
	case err != nil:
		e.Log.Warn("the configuration can't be read again; the last one stays in use", "error", err.Error())
	case c != nil:
		e.fleet = assembly.New(assembly.Options{Config: c, Backend: e.Backend, Log: e.Log, Now: e.Now, Owner: e.owner, NoteEvery: cloud.NoteEvery})
		e.etag, e.keys = etag, now
	}
	e.read = now
	return e.fleet, nil
}

// margin is the time that work leaves before the deadline of its invocation.
const margin = 5 * time.Second

// Within is a context that ends early enough before the invocation's for the
// function to record and to answer what it did.
func Within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// Main is a function's main: it loads the environment and answers events by the
// handler made for it, or ends the process with the reason where Lambda shows it.
func Main(handler func(*Environment) any) {
	e, err := Load(context.Background(), os.LookupEnv, os.Stdout)
	if err != nil {
		Logger(os.LookupEnv, os.Stdout).Error("the function can't start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(handler(e))
}
