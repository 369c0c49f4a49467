package manager

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/config"
)

// webConcurrency is how many requests to the journal's URL may run at once where
// the configuration leaves it open: enough for a primary's pushes, each of which
// takes a few milliseconds, and little of what an account has.
const webConcurrency = 10

// reserve bounds the requests to the journal's URL, which the internet can send,
// so that they can't take the concurrency of the account from all other functions.
// A template can't: whether an account has concurrency to reserve is known to
// Lambda alone, and a template that reserves too much is not deployed at all. So a
// refusal is said, and nothing else: replication works without. A number in the
// configuration is in the template.
func (h *Handler) reserve(ctx context.Context, c *config.Config) {
	if h.Resources.Web == "" || c.AWS.JournalConcurrency > 0 {
		return
	}
	var err error
	if c.AWS.JournalConcurrency == config.Auto {
		_, err = h.functions.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
			FunctionName: &h.Resources.Web, ReservedConcurrentExecutions: aws.Int32(webConcurrency),
		})
	} else {
		_, err = h.functions.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: &h.Resources.Web})
	}
	if err != nil {
		err = awserr.Wrap(ctx, "reserve concurrency", "function "+h.Resources.Web, err)
		h.Log.Warn("requests to the journal's URL can use up the concurrency of the account", "error", err.Error(),
			"hint", "ask Service Quotas for more concurrent executions of Lambda, which costs nothing; or close the URL: journal_url = false")
	}
}
