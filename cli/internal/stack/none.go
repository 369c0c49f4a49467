package stack

import (
	"context"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/config"
)

// None is the [AWS] of a program without the AWS SDK.
type None struct{}

var _ AWS = None{}

func (None) missing() error {
	return exit.Usagef("use the chef-sync-ctl that make build builds", "this program was built without AWS")
}

// Secrets implements [AWS].
func (n None) Secrets() map[string]config.Resolver {
	fail := func(context.Context, string) ([]byte, error) { return nil, n.missing() }
	return map[string]config.Resolver{"secretsmanager": fail, "ssm": fail}
}

// CreateSecret implements [AWS].
func (n None) CreateSecret(context.Context, string, string, []byte) error { return n.missing() }

// Open implements [AWS].
func (n None) Open(context.Context, string, string) (*Stack, error) { return nil, n.missing() }
