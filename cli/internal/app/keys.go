package app

import (
	"context"
	"crypto/rsa"
	"errors"
	"os"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// key loads a server's private key.
func (s Server) key(ctx context.Context) (*rsa.PrivateKey, error) { return loadKey(ctx, s.Key) }

func loadKey(ctx context.Context, ref config.KeyRef) (*rsa.PrivateKey, error) {
	secret, err := ref.Resolve(ctx, nil)
	if err != nil {
		return nil, err
	}
	return chef.ParseKey(secret.Reveal())
}

func (a *App) newClient(ctx context.Context, s Server) (*chef.Client, error) {
	key, err := s.key(ctx)
	if err != nil {
		return nil, &replication.Error{Op: "load the key of " + s.User, Server: s.Name, Class: replication.Denied,
			Hint: "check key in the configuration; chef-sync-ctl prepare-org makes one", Err: err}
	}
	return a.Connect(ctx, s, s.User, key)
}

// KeyStore is where the private key of the replication on a server is kept.
func (a *App) KeyStore(ctx context.Context, s Server) prepare.KeyStore {
	if s.Key.Scheme == "file" {
		return prepare.FileKey{Path: s.Key.Name}
	}
	return referredKey{ctx, s.Key}
}

// referredKey is a key that is kept elsewhere than in a file: it can be read,
// but not made here.
type referredKey struct {
	ctx context.Context
	ref config.KeyRef
}

func (k referredKey) Where() string { return k.ref.String() }

func (k referredKey) Load() (*rsa.PrivateKey, error) { return loadKey(k.ctx, k.ref) }

func (k referredKey) Create() (*rsa.PrivateKey, error) {
	return nil, errors.New("a key can be made in a file only, which file: refers to")
}

// Credentials finds whose key a person signs with: a user with a key file, or a
// profile of Chef's credentials file.
func (a *App) Credentials(ctx context.Context, user, keyFile, profile string) (string, *rsa.PrivateKey, error) {
	if user != "" {
		text, err := os.ReadFile(keyFile)
		if err != nil {
			return "", nil, err
		}
		key, err := chef.ParseKey(text)
		return user, key, err
	}
	c, err := a.loader.Credentials(profile)
	if err != nil {
		return "", nil, err
	}
	key, err := loadKey(ctx, c.Key)
	return c.User, key, err
}
