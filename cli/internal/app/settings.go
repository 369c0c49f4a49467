package app

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

// Settings are what the program takes from its configuration.
type Settings struct {
	*config.Config
	Primary  Server
	Replicas []Server
	Warnings []string
	pairs    []Pair
	loader   config.Loader
}

// Server is one Chef Server of the configuration.
type Server struct{ config.Server }

// KeyRef is where the private key is kept, such as file:/etc/chef-sync/key.pem.
func (s Server) KeyRef() string { return s.Key.String() }

// Pair is a pair with the servers that it joins.
type Pair struct {
	replication.Pair
	Replica     Server
	VerifyEvery time.Duration
}

// Pairs are the pairs of the configuration, in its order.
func (s *Settings) Pairs() []Pair { return s.pairs }

// usualPlaces are where the configuration is looked for.
func usualPlaces() []string {
	return []string{config.FileName, "/etc/chef-sync/" + config.FileName}
}

// FindConfig is the configuration file to use: the one that was named, else the
// first of the usual places that is there.
func FindConfig(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	for _, p := range usualPlaces() {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", exit.Usagef("chef-sync-ctl init, or --config FILE", "there is no configuration: neither %s", strings.Join(usualPlaces(), " nor "))
}

// load reads the configuration.
func load(o Options) (*Settings, error) {
	path, err := FindConfig(o.ConfigPath)
	if err != nil {
		return nil, err
	}
	loader := config.ProcessLoader()
	loader.Env, loader.ChefProfile = o.Env, o.ChefProfile
	c, err := loader.Load(path)
	var wrong config.Problems
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, exit.With(exit.Usage, err, "chef-sync-ctl init")
	case errors.As(err, &wrong):
		return nil, exit.With(exit.Usage, fmt.Errorf("the configuration can't be used:\n%w", err), "")
	case err != nil:
		return nil, exit.With(exit.Usage, err, "")
	}
	if c.Feed == feedJournal {
		return nil, exit.Usagef(`write feed = "auto"`, `%s: feed = "journal" is not available in this version`, path)
	}
	s := &Settings{Config: c, Primary: Server{c.Primary}, Warnings: c.Warnings(), loader: loader}
	for _, r := range c.Replicas {
		s.Replicas = append(s.Replicas, Server{r})
	}
	for _, p := range c.Pairs() {
		s.pairs = append(s.pairs, Pair{p.Pair, Server{p.Replica}, p.VerifyEvery})
	}
	return s, nil
}

// ca reads the server's CA bundle; none is fine.
func (s Server) ca(ctx context.Context) ([]byte, error) {
	if s.CA.IsZero() {
		return nil, nil
	}
	secret, err := s.CA.Resolve(ctx, nil)
	if err != nil {
		return nil, &replication.Error{Op: "load the CA", Server: s.Name, Class: replication.Local, Hint: "check ca in the configuration", Err: err}
	}
	return secret.Reveal(), nil
}

// Connect makes a client that signs as somebody.
func (a *App) Connect(ctx context.Context, s Server, user string, key *rsa.PrivateKey) (*chef.Client, error) {
	ca, err := s.ca(ctx)
	if err != nil {
		return nil, err
	}
	return chef.New(chef.Config{
		Name: s.Name, URL: s.URL, Orgless: s.Orgless, User: user, Key: key, CA: ca, Insecure: s.InsecureSkipVerify,
		Concurrency: s.Connections, Now: a.Now, Log: a.Log,
	})
}

// Prober sends plain requests with the TLS settings of a server.
func (s Server) Prober(ctx context.Context) (*http.Client, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.InsecureSkipVerify}
	ca, err := s.ca(ctx)
	if err != nil {
		return nil, err
	}
	if len(ca) > 0 {
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		t.RootCAs.AppendCertsFromPEM(ca)
	}
	return &http.Client{
		Timeout:       15 * time.Second,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
