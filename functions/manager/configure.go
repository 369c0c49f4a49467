package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/cfn"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// physicalID is the same for every configuration: another id would make CloudFormation
// delete the old configuration after an update.
const physicalID = "configuration"

// maxReason is how long the reason of a failure may be, in bytes of JSON: CloudFormation takes
// no response of more than 4,096 bytes.
const maxReason = 3000

// shortenReason returns an error with as many lines of the message as the response holds.
func shortenReason(err error) error {
	if err == nil || lengthAsJSON(err.Error()) <= maxReason {
		return err
	}
	kept := ""
	for line := range strings.Lines(err.Error()) {
		if lengthAsJSON(kept+line) > maxReason {
			break
		}
		kept += line
	}
	if kept != "" {
		return errors.New(kept + "and more")
	}
	for kept = err.Error(); lengthAsJSON(kept) > maxReason; {
		kept = strings.ToValidUTF8(kept[:len(kept)*3/4], "")
	}
	return errors.New(kept + "…")
}

func lengthAsJSON(s string) int {
	text, _ := json.Marshal(s) // text can't fail
	return len(text)
}

// handleResourceEvent handles an event of CloudFormation about the custom resource. A
// configuration that is refused changes nothing, and CloudFormation rolls back.
func (h *Handler) handleResourceEvent(ctx context.Context, event cfn.Event) (id string, data map[string]any, err error) {
	defer func() { err = shortenReason(err) }()
	if event.RequestType == cfn.RequestDelete {
		arn, _ := event.ResourceProperties["EmptyBucket"].(string)
		return physicalID, nil, h.emptyBucket(ctx, arn)
	}
	if err := h.storeConfiguration(ctx, event.ResourceProperties); err != nil {
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
func (h *Handler) storeConfiguration(ctx context.Context, properties map[string]any) error {
	bucket, _ := properties["Bucket"].(string)
	key, _ := properties["Key"].(string)
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
	if err := h.checkConfiguration(c, properties); err != nil {
		return err
	}
	return h.Backend.StoreConfiguration(ctx, text)
}

// checkConfiguration refuses a configuration that the stack can't use. One from the
// released template has properties with the values of its parameters.
func (h *Handler) checkConfiguration(c *config.Config, properties map[string]any) error {
	if _, fromTemplate := properties[cloud.TimeoutProperty]; !fromTemplate {
		return c.CheckAWS()
	}
	stack := config.TemplateStack{Name: h.Resources.Stack}
	for name, value := range map[string]*time.Duration{cloud.TimeoutProperty: &stack.Timeout, cloud.AlarmAgeProperty: &stack.AlarmAge} {
		text, _ := properties[name].(string)
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("the resource's property %s: %w", name, err)
		}
		*value = time.Duration(seconds) * time.Second
	}
	return c.CheckTemplate(stack)
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
