package sync

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/assembly"
	"chefsync/pkg/chef"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/prepare"
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
	checks := make([]cloud.Check, 3)
	var both sync.WaitGroup
	both.Go(func() { checks[0] = look(limited, fleet, fleet.Primary, "primary", pair.SourceOrg) })
	both.Go(func() {
		checks[1] = look(limited, fleet, pair.Replica, "replica "+pair.Replica.Name, pair.ID.Org)
		if checks[1].Status == cloud.CheckOK {
			checks[2] = rights(limited, fleet, pair)
		}
	})
	both.Wait()
	checks = slices.DeleteFunc(checks, func(c cloud.Check) bool { return c.Name == "" })
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

// rights probes whether the replica may be written, without a change.
func rights(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig) cloud.Check {
	name, org, server := "rights on replica "+pair.Replica.Name, pair.ID.Org, pair.Replica
	key, err := fleet.Key(ctx, server.Key)
	if err != nil {
		return check(name, "", err)
	}
	report, err := prepare.Run(ctx, prepare.Options{
		Org: org, Side: prepare.Replica, Name: server.User, Kinds: pair.Kinds, Check: true, Key: loaded{key, server.Key.String()},
		Connect: func(*rsa.PrivateKey) (*chef.Client, error) { return fleet.Client(ctx, server) },
	})
	again := fmt.Sprintf("chef-sync-ctl prepare-org %s --side replica --replica %s", org, server.Name)
	switch {
	case err != nil:
		return check(name, "", err)
	case len(report.Refused) > 0:
		return cloud.Check{Name: name, Status: cloud.CheckFailed, Hint: again,
			Detail: fmt.Sprintf("%s may read organization %s, but creating is refused (403) in %s", server.User, org, strings.Join(report.Refused, ", "))}
	case !report.Ready:
		return cloud.Check{Name: name, Status: cloud.CheckFailed, Hint: again, Detail: "organization " + org + " isn't prepared"}
	}
	fine := server.User + " may create in organization " + org
	if len(report.Unchecked) > 0 {
		fine += "; not checked: " + strings.Join(report.Unchecked, ", ")
	}
	return cloud.Check{Name: name, Status: cloud.CheckOK, Detail: fine}
}

// loaded is a key that was read.
type loaded struct {
	key   *rsa.PrivateKey
	where string
}

func (l loaded) Where() string                    { return l.where }
func (l loaded) Load() (*rsa.PrivateKey, error)   { return l.key, nil }
func (l loaded) Create() (*rsa.PrivateKey, error) { return nil, errors.ErrUnsupported }

func check(name, fine string, err error) cloud.Check {
	if err == nil {
		return cloud.Check{Name: name, Status: cloud.CheckOK, Detail: fine}
	}
	c := cloud.Check{Name: name, Status: cloud.CheckFailed, Detail: err.Error(), Hint: fault.HintOf(err)}
	var answer *chef.Error
	if errors.As(err, &answer) {
		c.Hint = answer.Hint
	}
	return c
}
