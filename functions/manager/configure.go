package manager

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/cfn"

	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// physicalID is that of the configuration, whatever it says: another id would
// make CloudFormation delete the old configuration after an update.
const physicalID = "configuration"

// configure answers CloudFormation. A configuration that is refused changes
// nothing, and CloudFormation goes back to the one before.
func (h *Handler) configure(ctx context.Context, event cfn.Event) (id string, data map[string]any, err error) {
	if event.RequestType == cfn.RequestDelete {
		arn, _ := event.ResourceProperties["EmptyBucket"].(string)
		return physicalID, nil, h.emptyBucket(ctx, arn)
	}
	bucket, _ := event.ResourceProperties["Bucket"].(string)
	key, _ := event.ResourceProperties["Key"].(string)
	if err := h.adopt(ctx, bucket, key); err != nil {
		h.Log.Error("the configuration is refused; nothing was changed", "error", err.Error(), "hint", fault.HintOf(err))
		return physicalID, nil, err
	}
	fleet, err := h.Fleet(ctx, true)
	if err != nil {
		return physicalID, nil, err
	}
	h.reserve(ctx, fleet.Config)
	h.Log.Info("the configuration is in use", "pairs", len(fleet.Pairs()))
	return physicalID, map[string]any{"Pairs": len(fleet.Pairs())}, nil
}

// adopt checks a configuration and makes it the one that the functions use.
func (h *Handler) adopt(ctx context.Context, bucket, key string) error {
	if bucket == "" || key == "" {
		return fmt.Errorf("the resource has no Bucket and Key that say where the configuration is")
	}
	text, err := h.Backend.Text(ctx, bucket, key)
	if err != nil {
		return err
	}
	c, err := config.Loader{}.Parse(config.FileName, text)
	if err != nil {
		return err
	}
	if err := c.CheckAWS(); err != nil {
		return err
	}
	return h.Backend.StoreConfiguration(ctx, text)
}

// emptyBucket removes what the stack's bucket holds when the stack is removed with its
// data: CloudFormation deletes no bucket that isn't empty. Without an ARN the bucket
// stays.
func (h *Handler) emptyBucket(ctx context.Context, arn string) error {
	if arn == "" {
		return nil
	}
	if !strings.HasSuffix(arn, ":"+h.Resources.Bucket) {
		return fmt.Errorf("%s isn't the bucket of stack %s; nothing was deleted", arn, h.Resources.Stack)
	}
	deleted, err := h.Backend.EmptyBucket(ctx, arn)
	if err != nil {
		h.Log.Error("the bucket can't be emptied", "deleted", deleted, "error", err.Error(), "hint", fault.HintOf(err))
		return err
	}
	h.Log.Info("the stack is being removed; its bucket is empty", "deleted", deleted)
	return nil
}
