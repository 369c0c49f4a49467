package manager

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/config"
)

// webConcurrency is how many requests to the change log's URL may run at once unless the
// configuration says otherwise: enough for a primary's pushes, each of which takes a
// few milliseconds, and a small part of an account's concurrency.
const webConcurrency = 10

// reserveWebConcurrency bounds the requests to the change log's URL, which is public, so
// that they can't use up the concurrency of the account. The template can't do that:
// whether an account has concurrency to reserve is known to Lambda alone, and a
// template that reserves too much can't be deployed. If Lambda refuses, a warning is
// logged: replication works without.
func (h *Handler) reserveWebConcurrency(ctx context.Context, c *config.Config) {
	if h.Resources.Web == "" {
		return
	}
	reserved := c.AWS.ChangeLogConcurrency
	if reserved == config.Auto {
		reserved = webConcurrency
	}
	var err error
	if reserved > 0 {
		_, err = h.lambda.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
			FunctionName: &h.Resources.Web, ReservedConcurrentExecutions: aws.Int32(int32(reserved)),
		})
	} else {
		_, err = h.lambda.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: &h.Resources.Web})
	}
	if err != nil {
		err = awserr.Wrap(ctx, "reserve concurrency", "function "+h.Resources.Web, err)
		h.Log.Warn("requests to the change log's URL can use up the concurrency of the account", "error", err.Error(),
			"hint", "request more concurrent Lambda executions in Service Quotas, which costs nothing; or close the URL: journal_url = false")
	}
}
