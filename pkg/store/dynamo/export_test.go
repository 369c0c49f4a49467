package dynamo

import (
	"context"
	"time"
)

// SetSleep replaces how the pauses between attempts are waited for.
func (t *Table) SetSleep(sleep func(context.Context, time.Duration) error) { t.sleep = sleep }
