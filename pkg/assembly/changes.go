package assembly

import (
	"bytes"
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"
	"slices"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/collector"
	"chefsync/pkg/feed/serve"
	"chefsync/pkg/object"
)

// ChangesHandler serves the change logs on one address: POST / and GET / are the data
// collector's (docs/chef-server-api.md §14), and GET /organizations/ORG/updated_since
// is for clients that may read it.
//
// Signatures are checked against Request.RequestURI, the path as it was sent: callers
// that make requests of something else, such as the events of a function URL, must set
// it. Refused requests are logged in samples.
func (f *Fleet) ChangesHandler(ctx context.Context, notify func(org string)) (http.Handler, error) {
	receiver, err := f.newReceiver(ctx, notify)
	if err != nil {
		return nil, err
	}
	endpoint, err := f.changesEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	return logRefusals(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if collector.AtRoot(q) {
			receiver.ServeHTTP(w, q)
			return
		}
		endpoint.ServeHTTP(w, q)
	}), f.Log), nil
}

// newReceiver returns the data collector that the primary posts to. It calls notify,
// which may be nil, with the organization of each change. Without a token in the
// configuration it refuses pushes, and answers the health check.
func (f *Fleet) newReceiver(ctx context.Context, notify func(org string)) (http.Handler, error) {
	if f.ChangeLog.Token.IsZero() {
		return http.HandlerFunc(refusePushes), nil
	}
	secret, err := f.ChangeLog.Token.Resolve(ctx, f.Secrets())
	if err != nil {
		return nil, secretError(&fault.Error{Op: "load the token of the data collector", Class: fault.Local,
			Hint: "check token under [journal] in the configuration"}, err)
	}
	store, err := f.ChangeLogs(ctx)
	if err != nil {
		return nil, err
	}
	sources, orgs := map[string]Source{}, map[string]string{}
	for _, s := range f.Sources() {
		sources[s.Org], orgs[s.Space] = s, s.Org
	}
	return collector.New(collector.Config{
		Token: string(bytes.TrimSpace(secret.Reveal())), Store: store, Now: f.Now, Log: f.Log,
		Source: func(org string, kind object.Kind) string {
			if f.Primary.Orgless {
				org = config.OrglessName
			}
			if s := sources[org]; slices.Contains(s.Kinds, kind.Base()) {
				return s.Space
			}
			return ""
		},
		Notify: func(space string) {
			if notify != nil {
				notify(orgs[space])
			}
		},
	})
}

// refusePushes is the data collector without a token.
func refusePushes(w http.ResponseWriter, q *http.Request) {
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusOK)
	case http.MethodPost:
		w.Header().Set("Connection", "close") // the body isn't read
		http.Error(w, "no token is configured, so pushes are refused", http.StatusForbidden)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// changesEndpoint returns the handler that serves the change logs as updated_since.
func (f *Fleet) changesEndpoint(ctx context.Context) (http.Handler, error) {
	store, err := f.ChangeLogs(ctx)
	if err != nil {
		return nil, err
	}
	c := serve.Config{Store: store, Sources: map[string]string{}, Only: f.ChangeLog.Readers, Now: f.Now, Log: f.Log,
		Principals: serve.NewPrimary(func(ctx context.Context) (*chef.Client, error) { return f.Client(ctx, f.Primary) }, f.Now)}
	for _, s := range f.Sources() {
		org := s.Org
		if f.Primary.Orgless {
			org = ""
		}
		c.Sources[org] = s.Space
	}
	if len(f.ChangeLog.Keys) > 0 {
		if c.Principals, err = f.configuredKeys(ctx); err != nil {
			return nil, err
		}
	}
	return serve.New(c)
}

// configuredKeys reads the public keys of [journal.keys].
func (f *Fleet) configuredKeys(ctx context.Context) (serve.Keys, error) {
	keys := serve.Keys{}
	for name, ref := range f.ChangeLog.Keys {
		secret, err := ref.Resolve(ctx, f.Secrets())
		var key *rsa.PublicKey
		if err == nil {
			key, err = chef.ParsePublicKey(secret.Reveal())
		}
		if err != nil {
			return nil, secretError(&fault.Error{Op: fmt.Sprintf("load the public key of reader %q", name), Class: fault.Local,
				Hint: "check [journal.keys] in the configuration"}, err)
		}
		keys[name] = key
	}
	return keys, nil
}
