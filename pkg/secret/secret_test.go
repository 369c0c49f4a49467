package secret_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"chefsync/pkg/fault"
	"chefsync/pkg/secret"
)

// vault is a Secrets Manager and a Parameter Store in memory. A secret whose
// value is nil was made without one.
type vault struct {
	values map[string]*string
	refuse string // the code of an error that every call gets
}

func (v *vault) err(operation string) error {
	if v.refuse == "" {
		return nil
	}
	return &smithy.OperationError{ServiceID: "Secrets Manager", OperationName: operation,
		Err: &smithy.GenericAPIError{Code: v.refuse, Message: http.StatusText(http.StatusForbidden)}}
}

func (v *vault) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if err := v.err("GetSecretValue"); err != nil {
		return nil, err
	}
	value := v.values[*in.SecretId]
	if value == nil {
		return nil, &smtypes.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: value}, nil
}

func (v *vault) CreateSecret(_ context.Context, in *secretsmanager.CreateSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error) {
	if err := v.err("CreateSecret"); err != nil {
		return nil, err
	}
	if _, there := v.values[*in.Name]; there {
		return nil, &smtypes.ResourceExistsException{}
	}
	v.values[*in.Name] = in.SecretString
	return &secretsmanager.CreateSecretOutput{}, nil
}

func (v *vault) PutSecretValue(_ context.Context, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	v.values[*in.SecretId] = in.SecretString
	return &secretsmanager.PutSecretValueOutput{}, v.err("PutSecretValue")
}

func (v *vault) GetParameter(_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	if !aws.ToBool(in.WithDecryption) {
		return nil, errors.New("a SecureString would come back encrypted")
	}
	value := v.values[*in.Name]
	if value == nil {
		return nil, &ssmtypes.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &ssmtypes.Parameter{Value: value}}, nil
}

func TestASecretIsKeptOnceAndReadBack(t *testing.T) {
	ctx, v := t.Context(), &vault{values: map[string]*string{"made by the stack": nil}}
	for _, name := range []string{"new", "made by the stack"} {
		if err := secret.Create(ctx, v, name, "a key", []byte("first")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := secret.FromManager(ctx, v, name); err != nil || string(got) != "first" {
			t.Errorf("%s reads %q, %v", name, got, err)
		}
		if err := secret.Create(ctx, v, name, "a key", []byte("second")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s was replaced: %v", name, err)
		}
		if got, _ := secret.FromManager(ctx, v, name); string(got) != "first" {
			t.Errorf("%s became %q", name, got)
		}
	}
}

func TestAParameterIsReadDecrypted(t *testing.T) {
	v := &vault{values: map[string]*string{"/chef/ca": aws.String("pem")}}
	if got, err := secret.FromParameters(t.Context(), v, "/chef/ca"); err != nil || string(got) != "pem" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := secret.FromParameters(t.Context(), v, "/chef/other"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/chef/other") {
		t.Errorf("a missing parameter: %v", err)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	for _, c := range []struct {
		code  string
		class fault.Class
		hint  string
	}{
		{"AccessDeniedException", fault.Denied, "secretsmanager:GetSecretValue"},
		{"ExpiredTokenException", fault.Denied, "sign in again"},
		{"DecryptionFailure", fault.Denied, "kms:Decrypt"},
		{"InternalServiceError", fault.Transient, "try again"},
	} {
		_, err := secret.FromManager(t.Context(), &vault{refuse: c.code}, "chef-sync/eu")
		if fault.ClassOf(err) != c.class || !strings.Contains(fault.HintOf(err), c.hint) || !strings.Contains(err.Error(), "chef-sync/eu") {
			t.Errorf("%s: class %s, hint %q, error %v", c.code, fault.ClassOf(err), fault.HintOf(err), err)
		}
	}
	_, err := secret.FromManager(t.Context(), &vault{}, "chef-sync/eu")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.HintOf(err), "prepare-org") {
		t.Errorf("a missing secret: %v, hint %q", err, fault.HintOf(err))
	}
}
