package manager

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/cfn"

	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// physicalID is the same for every configuration: another id would make CloudFormation
// delete the old configuration after an update.
const physicalID = "configuration"

// handleResourceEvent handles an event of CloudFormation about the custom resource. A
// configuration that is refused changes nothing, and CloudFormation rolls back.
func (h *Handler) handleResourceEvent(ctx context.Context, event cfn.Event) (id string, data map[string]any, err error) {
	if event.RequestType == cfn.RequestDelete {
		arn, _ := event.ResourceProperties["EmptyBucket"].(string)
		return physicalID, nil, h.emptyBucket(ctx, arn)
	}
	bucket, _ := event.ResourceProperties["Bucket"].(string)
	key, _ := event.ResourceProperties["Key"].(string)
	if err := h.storeConfiguration(ctx, bucket, key); err != nil {
		h.Log.Error("the configuration is refused; nothing was changed", "error", err.Error(), "hint", fault.HintOf(err))
		return physicalID, nil, err
	}
	fleet, err := h.Fleet(ctx, true)
	if err != nil {
		return physicalID, nil, err
	}
	h.reserveWebConcurrency(ctx, fleet.Config)
	h.Log.Info("the configuration is in effect", "pairs", len(fleet.Pairs()))
	return physicalID, map[string]any{"Pairs": len(fleet.Pairs())}, nil
}

// storeConfiguration checks an uploaded configuration and stores it for the functions.
func (h *Handler) storeConfiguration(ctx context.Context, bucket, key string) error {
	if bucket == "" || key == "" {
		return fmt.Errorf("the resource has no Bucket and Key that say where the configuration is")
	}
	text, err := h.Backend.ReadUpload(ctx, bucket, key)
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

// emptyBucket deletes all objects of the stack's bucket when the stack is removed with
// its data: CloudFormation deletes empty buckets only. Without an ARN it does nothing.
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
