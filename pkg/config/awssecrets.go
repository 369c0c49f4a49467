package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// IAM counts 10,240 characters of the inline policies of a role, without white
// space. This is what the names of secrets may take of them: the rest is for the
// function's other rights.
const secretsRoom = 7000

// widest is the longest beginning and end that the name of a secret gets in a
// policy.
const widest = `"arn:aws-us-gov:secretsmanager:ap-southeast-1:123456789012:secret:-??????",`

// namedSecret is a reference and the key of the file that it stands at.
type namedSecret struct {
	key string
	ref KeyRef
}

// serverSecrets are the keys and CAs of all servers, which functions/sync reads.
func (c *Config) serverSecrets() []namedSecret {
	named := []namedSecret{{"primary.key", c.Primary.Key}, {"primary.ca", c.Primary.CA}}
	for i, v := range c.Replicas {
		at := index("replica", i)
		named = append(named, namedSecret{at + ".key", v.Key}, namedSecret{at + ".ca", v.CA})
	}
	return named
}

// scanSecrets are what scans need: those of the primary.
func (c *Config) scanSecrets() []namedSecret {
	return []namedSecret{{"primary.key", c.Primary.Key}, {"primary.ca", c.Primary.CA}}
}

// journalSecrets are those by which the journal's URL knows who pushes and who
// reads, and the primary's, which it may have to ask.
func (c *Config) journalSecrets() []namedSecret {
	named := []namedSecret{{"journal.token", c.Journal.Token}}
	for _, name := range slices.Sorted(maps.Keys(c.Journal.Keys)) {
		named = append(named, namedSecret{join("journal.keys", name), c.Journal.Keys[name]})
	}
	return append(named, c.scanSecrets()...)
}

// SyncSecrets are the secrets that the role of functions/sync must be able to
// read. See grants.
func (c *Config) SyncSecrets() []KeyRef { return c.AWS.grants(c.serverSecrets()) }

// ScanSecrets are those that a function must be able to read to scan.
func (c *Config) ScanSecrets() []KeyRef { return c.AWS.grants(c.scanSecrets()) }

// JournalSecrets are those that a function must be able to read to answer requests
// to the journal's URL.
func (c *Config) JournalSecrets() []KeyRef { return c.AWS.grants(c.journalSecrets()) }

// grants are the secrets of a role as its policy names them: each by itself if
// they all fit, else those under STACK/ by one name that ends in /*.
func (a AWS) grants(named []namedSecret) []KeyRef {
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
		each, folded = add(each, n.ref), add(folded, a.fold(n.ref))
	}
	if policySize(each) <= secretsRoom {
		return each
	}
	return folded
}

// fold is the name of all secrets under STACK/ for one of them, and the secret
// itself for any other.
func (a AWS) fold(ref KeyRef) KeyRef {
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

// policySize is at most how many characters the names take in a policy.
func policySize(refs []KeyRef) (n int) {
	for _, ref := range refs {
		if n += len(ref.Name); strings.HasPrefix(ref.Name, "arn:") {
			n += len(`"",`)
		} else {
			n += len(widest)
		}
	}
	return n
}

// checkGrants refuses more secrets than IAM lets a role name.
func (r *reader) checkGrants(c *Config) {
	for _, named := range [][]namedSecret{c.serverSecrets(), c.journalSecrets()} {
		refs := c.AWS.grants(named)
		if policySize(refs) <= secretsRoom {
			continue
		}
		outside := max(0, slices.IndexFunc(named, func(n namedSecret) bool {
			return !n.ref.IsZero() && !strings.HasSuffix(c.AWS.fold(n.ref).Name, "/*")
		}))
		r.problem(first(r.places, named[outside].key, strings.TrimSuffix(named[outside].key, ".key")), fmt.Sprintf(
			`keep them under the name of the stack, as "secretsmanager:%s/NAME" or "ssm:/%s/NAME": one pattern in the policy is enough for these`, c.AWS.Stack, c.AWS.Stack),
			"this and the other secrets outside %s/ are too many: with %d names the policy of a role is longer than IAM allows", c.AWS.Stack, len(refs))
		return
	}
}
