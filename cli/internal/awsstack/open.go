package awsstack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/logstore/cloudwatch"
	"chefsync/cli/internal/stack"
	"chefsync/pkg/assembly/onaws"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/config"
)

// client implements [stack.Client].
type client struct {
	cloud.Resources
	config aws.Config
}

var _ stack.Client = (*client)(nil)

// Backend implements [stack.Client].
func (s *client) Backend() stack.Backend { return onaws.New(s.config, s.Resources) }

// Log implements [stack.Client].
func (s *client) Log(owner string, pairs []config.PairConfig, now func() time.Time) logstore.Store {
	return cloudwatch.New(s.config, s.Resources, owner, pairs, now)
}

// Open implements [stack.AWS].
func (s *Session) Open(ctx context.Context, name, table string) (*stack.Stack, error) {
	c, err := s.Config(ctx)
	if err != nil {
		return nil, err
	}
	out, err := cloudformation.NewFromConfig(c).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	resource := fmt.Sprintf("stack %s in %s", name, c.Region)
	if err != nil {
		return nil, awserr.Wrap(ctx, "read the outputs", resource, err)
	}
	if len(out.Stacks) == 0 {
		return nil, exit.With(exit.NotFound, fmt.Errorf("there is no %s", resource),
			"check the name, the account and the region, or deploy the stack")
	}
	return newStack(c, name, table, out.Stacks[0])
}

// newStack returns a stack as CloudFormation describes it, with another table if one is
// named.
func newStack(c aws.Config, name, table string, described types.Stack) (*stack.Stack, error) {
	outputs := map[string]string{}
	for _, o := range described.Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	status := string(described.StackStatus)
	r, err := cloud.FromOutputs(name, c.Region, outputs)
	switch {
	case err != nil && isBeingCreated(described.StackStatus):
		return nil, exit.With(exit.Temporary, fmt.Errorf("stack %s is %s and has no outputs yet", name, status), "wait for its deployment to end")
	case err != nil:
		return nil, exit.With(exit.NotFound, err, "name the stack that was deployed: --stack NAME")
	}
	r.Table = cmp.Or(table, r.Table)
	return &stack.Stack{Resources: r, Status: status, Client: &client{Resources: r, config: c}}, nil
}

// isBeingCreated reports whether a stack is being created.
func isBeingCreated(s types.StackStatus) bool {
	return slices.Contains([]types.StackStatus{types.StackStatusCreateInProgress, types.StackStatusReviewInProgress}, s)
}
