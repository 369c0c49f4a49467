package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxSecretsSize is how many of the 10,240 characters that IAM allows in the inline
// policies of a role, without white space, the names of secrets may take. The rest is
// for the function's other permissions.
const maxSecretsSize = 7000

// longestSecretPattern is the longest prefix and suffix of the name of a secret in a
// policy.
const longestSecretPattern = `"arn:aws-us-gov:secretsmanager:ap-southeast-1:123456789012:secret:-??????",`

// namedSecret is a reference and its key in the file.
type namedSecret struct {
	key  string
	name string // that hints suggest, below the name of the stack
	ref  KeyRef
}

// secrets returns the references of a server, whose table is at a key.
func (s Server) secrets(at string) []namedSecret {
	named := []namedSecret{{at + ".key", s.Name, s.Key}, {at + ".ca", s.Name + "-ca", s.CA}}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		if ref := s.Headers[name]; ref.Scheme != schemeInline {
			named = append(named, namedSecret{joinKey(at+".headers", name), s.Name + "-header-" + strings.ToLower(name), ref})
		}
	}
	return named
}

// secrets returns all secrets that functions read. Those of the primary are listed twice.
func (c *Config) secrets() []namedSecret { return append(c.serverSecrets(), c.changeLogSecrets()...) }

// serverSecrets returns the secrets of all servers, which functions/sync reads.
func (c *Config) serverSecrets() []namedSecret {
	named := c.scanSecrets()
	for i, v := range c.Replicas {
		at := indexKey("replica", i)
		named = append(named, v.secrets(at)...)
	}
	return named
}

// scanSecrets returns the secrets that scans need: those of the primary.
func (c *Config) scanSecrets() []namedSecret {
	return c.Primary.secrets("primary")
}

// changeLogSecrets returns the secrets that authenticate requests to the change log's URL,
// and those of the primary, which gives out further keys.
func (c *Config) changeLogSecrets() []namedSecret {
	named := []namedSecret{{"journal.token", "collector-token", c.ChangeLog.Token}}
	for _, name := range slices.Sorted(maps.Keys(c.ChangeLog.Keys)) {
		named = append(named, namedSecret{joinKey("journal.keys", name), "reader-" + name, c.ChangeLog.Keys[name]})
	}
	return append(named, c.scanSecrets()...)
}

// SyncSecrets returns the secrets that the role of functions/sync must be able to
// read. See grantedSecrets.
func (c *Config) SyncSecrets() []KeyRef { return c.AWS.grantedSecrets(c.serverSecrets()) }

// ScanSecrets returns the secrets that a function must be able to read to scan.
func (c *Config) ScanSecrets() []KeyRef { return c.AWS.grantedSecrets(c.scanSecrets()) }

// ChangeLogSecrets returns the secrets that a function must be able to read to answer
// requests to the change log's URL.
func (c *Config) ChangeLogSecrets() []KeyRef { return c.AWS.grantedSecrets(c.changeLogSecrets()) }

// grantedSecrets returns the secrets of a role as its policy names them: each by its
// own name if they all fit, otherwise those under STACK/ by one name that ends in /*.
func (a AWS) grantedSecrets(named []namedSecret) []KeyRef {
	each, folded := []KeyRef{}, []KeyRef{}
	add := func(list []KeyRef, ref KeyRef) []KeyRef {
		same := func(other KeyRef) bool { return other.Scheme == ref.Scheme && other.Name == ref.Name }
		if slices.ContainsFunc(list, same) {
			return list
		}
		return append(list, ref)
	}
	for _, n := range named {
		if n.ref.Scheme != "secretsmanager" && n.ref.Scheme != "ssm" {
			continue
		}
		each, folded = add(each, n.ref), add(folded, a.foldSecret(n.ref))
	}
	if policySize(each) <= maxSecretsSize {
		return each
	}
	return folded
}

// foldSecret returns the name of all secrets under STACK/ for one of them, and any other
// secret itself.
func (a AWS) foldSecret(ref KeyRef) KeyRef {
	begin := ""
	for _, mark := range []string{":secret:", ":parameter/"} {
		if i := strings.Index(ref.Name, mark); strings.HasPrefix(ref.Name, "arn:") && i >= 0 {
			begin = ref.Name[:i+len(mark)]
		}
	}
	rest := strings.TrimPrefix(ref.Name, begin)
	if ref.Scheme == "ssm" {
		rest = strings.TrimPrefix(rest, "/")
	}
	if !strings.HasPrefix(rest, a.Stack+"/") {
		return ref
	}
	return KeyRef{Scheme: ref.Scheme, Name: begin + a.Stack + "/*"}
}

// policySize returns an upper bound of the characters that the names take in a policy.
func policySize(refs []KeyRef) (n int) {
	for _, ref := range refs {
		if n += len(ref.Name); strings.HasPrefix(ref.Name, "arn:") {
			n += len(`"",`)
		} else {
			n += len(longestSecretPattern)
		}
	}
	return n
}

// checkGrants refuses more secrets than fit into the policy of a role.
func (r *reader) checkGrants(c *Config) {
	for _, named := range [][]namedSecret{c.serverSecrets(), c.changeLogSecrets()} {
		refs := c.AWS.grantedSecrets(named)
		if policySize(refs) <= maxSecretsSize {
			continue
		}
		outside := max(0, slices.IndexFunc(named, func(n namedSecret) bool {
			return !n.ref.IsZero() && !strings.HasSuffix(c.AWS.foldSecret(n.ref).Name, "/*")
		}))
		r.addProblem(firstPresent(r.positions, named[outside].key, strings.TrimSuffix(named[outside].key, ".key")), fmt.Sprintf(
			`keep them under the name of the stack,`+
				` as "secretsmanager:%s/NAME" or "ssm:/%s/NAME": one pattern in the policy covers these`, c.AWS.Stack, c.AWS.Stack),
			"this and the other secrets outside %s/ are too many: with %d names the policy of a role is longer than IAM allows",
			c.AWS.Stack, len(refs))
		return
	}
}
