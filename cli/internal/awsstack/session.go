// Package awsstack implements package stack with the AWS SDK. State, stage and
// configuration of a stack are package onaws's.
package awsstack

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/stack"
	"chefsync/pkg/cloud/awsclient"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/secret"
)

// Session implements [stack.AWS]. It is safe for concurrent use.
type Session struct {
	access stack.Access

	mu     sync.Mutex
	loaded *aws.Config
}

var _ stack.AWS = (*Session)(nil)

// New returns a session.
func New(a stack.Access) stack.AWS { return &Session{access: a} }

// Config is the configuration of the SDK, with a region and with credentials
// that could be had.
func (s *Session) Config(ctx context.Context) (aws.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded != nil {
		return *s.loaded, nil
	}
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithLogger(logging.Nop{}), // stderr is the program's
		awsconfig.WithRegion(s.access.Region), awsconfig.WithDefaultRegion(s.access.Fallback),
	}
	if s.access.Profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(s.access.Profile))
	}
	c, err := awsclient.LoadConfig(ctx, options...)
	var unknown awsconfig.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &unknown):
		return c, exit.Usagef("aws configure list-profiles", "AWS has no profile %q", unknown.Profile)
	case err != nil:
		return c, exit.With(exit.Usage, fmt.Errorf("read the configuration of AWS: %w", err),
			"check ~/.aws/config and ~/.aws/credentials")
	case c.Region == "":
		return c, exit.Usagef("add --region, or set AWS_REGION", "the AWS region isn't known")
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		return c, noCredentials(s.access.Profile, err)
	}
	s.loaded = &c
	return c, nil
}

// noCredentials says why there are no credentials. It leaves out the words of the
// SDK: those about a credential_process hold what the process printed.
func noCredentials(profile string, err error) error {
	e := &fault.Error{Op: "find AWS credentials", Class: fault.Denied,
		Hint: "aws configure, aws sso login, or another --profile"}
	var sso *ssocreds.InvalidTokenError
	var api smithy.APIError
	switch {
	case errors.As(err, &sso):
		e.Err, e.Hint = errors.New("the sign-in has ended"), "aws sso login"
		if profile != "" {
			e.Hint += " --profile " + profile
		}
	case errors.As(err, &api):
		e.Err = fmt.Errorf("AWS gave none: %s", api.ErrorCode())
	default:
		e.Err = errors.New("there are no usable credentials in the environment, the AWS files or the instance metadata")
	}
	return e
}

// Secrets implements [stack.AWS]. AWS is asked only for a reference that needs it.
func (s *Session) Secrets() map[string]config.Resolver {
	return map[string]config.Resolver{
		"secretsmanager": func(ctx context.Context, name string) ([]byte, error) {
			c, err := s.Config(ctx)
			if err != nil {
				return nil, err
			}
			return secret.FromManager(ctx, secretsmanager.NewFromConfig(c), name)
		},
		"ssm": func(ctx context.Context, name string) ([]byte, error) {
			c, err := s.Config(ctx)
			if err != nil {
				return nil, err
			}
			return secret.FromParameters(ctx, ssm.NewFromConfig(c), name)
		},
	}
}

// CreateSecret implements [stack.AWS]; see secret.Create.
func (s *Session) CreateSecret(ctx context.Context, name, description string, content []byte) error {
	c, err := s.Config(ctx)
	if err != nil {
		return err
	}
	return secret.Create(ctx, secretsmanager.NewFromConfig(c), name, description, content)
}
