package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/assembly"
	"chefsync/pkg/chef"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

// patience is how long a doctor waits for a server.
const patience = 20 * time.Second

// examine looks at what only the function can see: whether it can read the keys
// and reach the servers of a pair from where it runs.
func examine(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig) []cloud.Check {
	fleet.Forget()   // a key that is cached proves nothing
	fleet.ProbeNow() // nor does a server that was down
	limited, cancel := environment.Within(ctx)
	defer cancel()
	limited, cancel = context.WithTimeout(limited, patience)
	defer cancel()
	checks := make([]cloud.Check, 2)
	var both sync.WaitGroup
	both.Go(func() { checks[0] = look(limited, fleet, fleet.Primary, "primary", pair.SourceOrg) })
	both.Go(func() { checks[1] = look(limited, fleet, pair.Replica, "replica "+pair.Replica.Name, pair.ID.Org) })
	both.Wait()
	state, err := fleet.State(ctx)
	if err == nil {
		_, err = state.Pair(ctx, pair.ID)
	}
	return append(checks, check("table", "the pair's record can be read", err))
}

// look asks a server for something that needs the key and the organization.
func look(ctx context.Context, fleet *assembly.Fleet, server config.Server, name, org string) cloud.Check {
	client, err := fleet.Client(ctx, server)
	if err != nil {
		return check(name, "", err)
	}
	_, err = client.Org(org).Do(ctx, http.MethodGet, "/roles", nil)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return cloud.Check{Name: name, Status: cloud.CheckFailed, Detail: server.URL + " doesn't answer",
			Hint: "let the function reach it: check firewalls, and in a VPC subnets, routes and security groups"}
	}
	return check(name, fmt.Sprintf("%s answers %s for organization %s", server.URL, server.User, org), err)
}

func check(name, fine string, err error) cloud.Check {
	if err == nil {
		return cloud.Check{Name: name, Status: cloud.CheckOK, Detail: fine}
	}
	c := cloud.Check{Name: name, Status: cloud.CheckFailed, Detail: err.Error(), Hint: replication.HintOf(err)}
	var answer *chef.Error
	if errors.As(err, &answer) {
		c.Hint = answer.Hint
	}
	return c
}
