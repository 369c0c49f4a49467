package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"chefsync/pkg/chef"
	"chefsync/pkg/cloud/awsclient"
)

// storeKey stores a key file as a secret. It replaces an existing secret, because a Chef
// Server that was created again has another key, and so works on an emulator only, where
// no key can be lost.
func storeKey(ctx context.Context, out io.Writer, name, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the key for secret %s: %w", name, err)
	}
	if _, err := chef.ParseKey(text); err != nil {
		return fmt.Errorf("key file %s: %w", file, err)
	}
	c, err := awsclient.LoadConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS's settings: %w", err)
	}
	if c.BaseEndpoint == nil {
		return errors.New("AWS_ENDPOINT_URL isn't set: keys are only replaced on an emulator")
	}
	client, value := secretsmanager.NewFromConfig(c), string(text)
	_, err = client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if there := new(types.ResourceExistsException); errors.As(err, &there) {
		_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value})
	}
	if err != nil {
		return fmt.Errorf("store secret %s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "secret %s: the key of %s\n", name, file)
	return err
}
