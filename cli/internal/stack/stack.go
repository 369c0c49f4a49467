package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/cloud"
)

// Stack is a deployed stack. Make it with Open.
type Stack struct {
	cloud.Resources
	Status string // as CloudFormation says it, such as UPDATE_COMPLETE
	Config aws.Config
}

// Open reads what a stack consists of.
func Open(ctx context.Context, s *Session, name string) (*Stack, error) {
	c, err := s.Config(ctx)
	if err != nil {
		return nil, err
	}
	out, err := cloudformation.NewFromConfig(c).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	resource := fmt.Sprintf("stack %s in %s", name, c.Region)
	if err != nil {
		return nil, explainAWS(ctx, "read the outputs", resource, err)
	}
	if len(out.Stacks) == 0 {
		return nil, exit.With(exit.NotFound, fmt.Errorf("there is no %s", resource),
			"check the name, the account and the region, or deploy the stack")
	}
	return newStack(c, name, out.Stacks[0])
}

// newStack returns a stack as CloudFormation describes it.
func newStack(c aws.Config, name string, described types.Stack) (*Stack, error) {
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
	return &Stack{Resources: r, Status: status, Config: c}, nil
}

// isBeingCreated reports whether a stack is being created.
func isBeingCreated(s types.StackStatus) bool {
	return slices.Contains([]types.StackStatus{types.StackStatusCreateInProgress, types.StackStatusReviewInProgress}, s)
}

// Broken reports whether the last deployment failed, or the stack is being removed.
func (s *Stack) Broken() bool {
	return strings.Contains(s.Status, "FAILED") || strings.Contains(s.Status, "ROLLBACK") || strings.HasPrefix(s.Status, "DELETE")
}
