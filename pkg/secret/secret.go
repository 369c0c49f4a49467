// Package secret reads secrets from AWS Secrets Manager and from Systems Manager
// Parameter Store, and keeps new ones in Secrets Manager. Errors name the secret
// and the permission that is missing, never the content.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/fault"
)

// Manager is the part of secretsmanager.Client that is used.
type Manager interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	CreateSecret(context.Context, *secretsmanager.CreateSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
}

// Parameters is the part of ssm.Client that is used.
type Parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// FromManager reads the current value of a secret: its text, or its bytes. A
// secret that isn't there, or that has no value yet, is fs.ErrNotExist.
func FromManager(ctx context.Context, client Manager, name string) ([]byte, error) {
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return nil, explain(ctx, "read", "secret "+name, err)
	}
	if out.SecretString != nil {
		return []byte(*out.SecretString), nil
	}
	return out.SecretBinary, nil
}

// FromParameters reads a parameter, decrypted if it is a SecureString. One that
// isn't there is fs.ErrNotExist.
func FromParameters(ctx context.Context, client Parameters, name string) ([]byte, error) {
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, explain(ctx, "read", "parameter "+name, err)
	}
	if out.Parameter == nil || out.Parameter.Value == nil {
		return nil, fmt.Errorf("parameter %s has no value: %w", name, fs.ErrNotExist)
	}
	return []byte(*out.Parameter.Value), nil
}

// Create keeps a new secret. It never replaces a value: a secret that has one is
// fs.ErrExist. An empty secret, as a stack may have made it, gets its first value.
func Create(ctx context.Context, client Manager, name, description string, content []byte) error {
	_, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, Description: &description, SecretString: aws.String(string(content))})
	var there *smtypes.ResourceExistsException
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &there):
		return explain(ctx, "create", "secret "+name, err)
	}
	if _, err := FromManager(ctx, client, name); err == nil {
		return fmt.Errorf("secret %s: %w", name, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: aws.String(string(content))}); err != nil {
		return explain(ctx, "write", "secret "+name, err)
	}
	return nil
}

// absent says that there is no such secret, and is fs.ErrNotExist.
type absent struct{ error }

func (a absent) Error() string { return "it doesn't exist in this account and region" }

func (a absent) Is(target error) bool { return target == fs.ErrNotExist }

func (a absent) Unwrap() error { return a.error }

// explain gives an error its class and a hint. A secret that can't be had needs an
// operator, whatever the reason.
func explain(ctx context.Context, op, what string, err error) error {
	var e *fault.Error
	if err = awserr.Wrap(ctx, op+" "+what, what, err); !errors.As(err, &e) {
		return err
	}
	e.Server = "" // the operation names it
	switch code := awserr.Code(err); {
	case awserr.IsNotFound(err):
		e.Class, e.Err, e.Hint = fault.Denied, absent{e.Err}, "chef-sync-ctl prepare-org creates it; or check its name, the account and the region"
	case e.Class == fault.Denied && strings.HasPrefix(code, "AccessDenied"):
		e.Hint += ", and kms:Decrypt on its key if it isn't the default key"
	case code == "DecryptionFailure", code == "InvalidKeyId", code == "KMSAccessDeniedException":
		e.Class, e.Hint = fault.Denied, "allow kms:Decrypt on the key that encrypts it"
	case code == "InvalidRequestException":
		e.Class, e.Hint = fault.Denied, "the secret is marked for deletion: restore it, or use another name"
	}
	return err
}
