package app

import (
	"context"
	"crypto/rsa"
	"errors"
	"os"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
)

// KeyStore is where the private key of the replication on a server is kept.
func (a *App) KeyStore(ctx context.Context, s config.Server) prepare.KeyStore {
	if s.Key.Scheme == "file" {
		return prepare.FileKey{Path: s.Key.Name}
	}
	return referredKey{ctx, a, s.Key}
}

// referredKey is a key that is kept elsewhere than in a file: it can be read,
// but not made here.
type referredKey struct {
	ctx context.Context
	app *App
	ref config.KeyRef
}

func (k referredKey) Where() string { return k.ref.String() }

func (k referredKey) Load() (*rsa.PrivateKey, error) { return k.app.Key(k.ctx, k.ref) }

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
	key, err := a.Key(ctx, c.Key)
	return c.User, key, err
}
