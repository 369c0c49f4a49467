package app

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
)

// KeyStore is where the private key of the replication on a server is kept.
func (a *App) KeyStore(ctx context.Context, s config.Server) prepare.KeyStore {
	switch s.Key.Scheme {
	case "file":
		return prepare.FileKey{Path: s.Key.Name}
	case "secretsmanager":
		return secretKey{referredKey{ctx, a, s.Key}, s}
	}
	return referredKey{ctx, a, s.Key}
}

// referredKey is a key that can be read, but not made here.
type referredKey struct {
	ctx context.Context
	app *App
	ref config.KeyRef
}

func (k referredKey) Where() string { return k.ref.String() }

func (k referredKey) Load() (*rsa.PrivateKey, error) { return k.app.Key(k.ctx, k.ref) }

func (k referredKey) Create() (*rsa.PrivateKey, error) {
	return nil, errors.New("a key can only be created in a file (file:) or in Secrets Manager (secretsmanager:)")
}

// secretKey is a key in AWS Secrets Manager.
type secretKey struct {
	referredKey
	server config.Server
}

// Create makes a key and keeps it as a secret. A secret that has a value is never
// replaced.
func (k secretKey) Create() (*rsa.PrivateKey, error) {
	if strings.HasPrefix(k.ref.Name, "arn:") {
		return nil, fmt.Errorf("a secret given by its ARN must already exist: %w", fs.ErrNotExist)
	}
	key, text, err := prepare.NewKey()
	if err != nil {
		return nil, err
	}
	about := fmt.Sprintf("Private key of %s on %s, for Chef Replication", k.server.User, k.server.URL)
	if err := k.app.AWS.CreateSecret(k.ctx, k.ref.Name, about, text); err != nil {
		return nil, err
	}
	return key, nil
}

// Credentials returns the name and key to sign with: those of a user with a key file, or of
// a profile of Chef's credentials file.
func (a *App) Credentials(ctx context.Context, user, keyFile, profile string) (string, *rsa.PrivateKey, error) {
	if user != "" {
		text, err := os.ReadFile(keyFile)
		if err != nil {
			return "", nil, err
		}
		key, err := chef.ParseKey(text)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", keyFile, err)
		}
		return user, key, nil
	}
	c, err := a.loader.Credentials(profile)
	if err != nil {
		return "", nil, err
	}
	key, err := a.Key(ctx, c.Key)
	return c.User, key, err
}

// ProfilesOf returns the profiles of Chef's credentials file for a server, by its URL.
func (a *App) ProfilesOf(url string) []config.Credentials { return a.loader.ProfilesOf(url) }

// ProfileURL returns the URL of the server of a profile, "" if it has none.
func (a *App) ProfileURL(profile string) string {
	c, err := a.loader.Credentials(profile)
	if err != nil {
		return ""
	}
	return c.URL
}
