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

// serverTimeout is how long a check waits for a server.
const serverTimeout = 20 * time.Second

// checkPair checks what only the function can: whether it can read the keys and reach
// the servers of a pair from where it runs.
func checkPair(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig) []cloud.Check {
	fleet.DropClients() // a cached key proves nothing
	fleet.ProbeNow()    // nor does a cached failure
	limited, cancel := environment.WithMargin(ctx)
	defer cancel()
	limited, cancel = context.WithTimeout(limited, serverTimeout)
	defer cancel()
	checks := make([]cloud.Check, 3)
	var servers sync.WaitGroup
	servers.Go(func() { checks[0] = checkServer(limited, fleet, fleet.Primary, "primary", pair.SourceOrg) })
	servers.Go(func() {
		checks[1] = checkServer(limited, fleet, pair.Replica, "replica "+pair.Replica.Name, pair.ID.Org)
		if checks[1].Status == cloud.CheckOK {
			checks[2] = checkReplicaPermissions(limited, fleet, pair)
		}
	})
	servers.Wait()
	checks = slices.DeleteFunc(checks, func(c cloud.Check) bool { return c.Name == "" })
	_, err := fleet.PairState(ctx, pair.ID)
	return append(checks, checkResult("table", "the pair's record can be read", err))
}

// checkServer sends a server a request that needs the key and the organization.
func checkServer(ctx context.Context, fleet *assembly.Fleet, server config.Server, name, org string) cloud.Check {
	client, err := fleet.Client(ctx, server)
	if err != nil {
		return checkResult(name, "", err)
	}
	_, err = client.Org(org).Do(ctx, http.MethodGet, "/roles", nil)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return cloud.Check{Name: name, Status: cloud.CheckFailed, Detail: server.URL + " doesn't answer",
			Hint: "let the function reach it: check firewalls, and in a VPC subnets, routes and security groups"}
	}
	return checkResult(name, fmt.Sprintf("%s answers %s for organization %s", server.URL, server.User, org), err)
}

// checkReplicaPermissions checks whether the replica can be written, without a change.
func checkReplicaPermissions(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig) cloud.Check {
	name, org, server := "rights on replica "+pair.Replica.Name, pair.ID.Org, pair.Replica
	key, err := fleet.Key(ctx, server.Key)
	if err != nil {
		return checkResult(name, "", err)
	}
	report, err := prepare.Run(ctx, prepare.Options{
		Org: org, Side: prepare.Replica, Name: server.User, Kinds: pair.Kinds, Check: true, Key: loadedKey{key, server.Key.String()},
		Connect: func(*rsa.PrivateKey) (*chef.Client, error) { return fleet.Client(ctx, server) },
	})
	hint := fmt.Sprintf("chef-sync-ctl prepare-org %s --side replica --replica %s", org, server.Name)
	switch {
	case err != nil:
		return checkResult(name, "", err)
	case len(report.Refused) > 0:
		return cloud.Check{Name: name, Status: cloud.CheckFailed, Hint: hint,
			Detail: fmt.Sprintf("%s may read organization %s, but creating is refused (403) in %s", server.User, org, strings.Join(report.Refused, ", "))}
	case !report.Ready:
		return cloud.Check{Name: name, Status: cloud.CheckFailed, Hint: hint, Detail: "organization " + org + " isn't prepared"}
	}
	detail := server.User + " may create in organization " + org
	if len(report.Unchecked) > 0 {
		detail += "; not checked: " + strings.Join(report.Unchecked, ", ")
	}
	return cloud.Check{Name: name, Status: cloud.CheckOK, Detail: detail}
}

// loadedKey is a key that has been read.
type loadedKey struct {
	key   *rsa.PrivateKey
	where string
}

func (l loadedKey) Where() string                    { return l.where }
func (l loadedKey) Load() (*rsa.PrivateKey, error)   { return l.key, nil }
func (l loadedKey) Create() (*rsa.PrivateKey, error) { return nil, errors.ErrUnsupported }

// checkResult returns the result of a check: detail if there is no error.
func checkResult(name, detail string, err error) cloud.Check {
	if err == nil {
		return cloud.Check{Name: name, Status: cloud.CheckOK, Detail: detail}
	}
	c := cloud.Check{Name: name, Status: cloud.CheckFailed, Detail: err.Error(), Hint: fault.HintOf(err)}
	var answer *chef.Error
	if errors.As(err, &answer) {
		c.Hint = answer.Hint
	}
	return c
}
