package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"chefsync/pkg/replication"
)

// PairConfig is one source organization and one destination organization on
// one replica.
type PairConfig struct {
	replication.Pair
	Replica Server
}

// Pairs returns all pairs in the order of the file.
func (c *Config) Pairs() []PairConfig {
	var pairs []PairConfig
	for _, o := range c.Organizations {
		for _, name := range o.Replicas {
			v, ok := c.Replica(name)
			if !ok {
				continue // Parse has refused this
			}
			p := PairConfig{o.Pair, v}
			p.ID = replication.PairID{Replica: name, Org: o.destinationOn(v)}
			p.Space = stageSpace(c.Primary.URL, o.SourceOrg)
			p.Kinds = slices.Clone(o.Kinds)
			p.Concurrency = min(c.Primary.Connections, v.Connections)
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// Replica returns a replica by name.
func (c *Config) Replica(name string) (Server, bool) {
	i := slices.IndexFunc(c.Replicas, func(v Server) bool { return v.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return c.Replicas[i], true
}

// Servers returns the primary and all replicas.
func (c *Config) Servers() []Server { return append([]Server{c.Primary}, c.Replicas...) }

// stageSpace returns the name of a source organization in the stage. Equal names on two
// servers are two organizations.
func stageSpace(url, org string) string {
	sum := sha256.Sum256([]byte(url + "/" + org))
	return org[:min(len(org), 64)] + "-" + hex.EncodeToString(sum[:8])
}

// Warnings returns what is allowed but probably wrong: key files that others may read,
// certificates that aren't verified, replicas without a pair, settings without effect,
// kinds of which nothing is selected, pushes without TLS.
func (c *Config) Warnings() []string {
	var list []string
	for _, v := range c.Servers() {
		if w := v.Key.Warning(); w != "" {
			list = append(list, fmt.Sprintf("key of %s: %s", v.Name, w))
		}
		for _, name := range slices.Sorted(maps.Keys(v.Headers)) {
			if w := v.Headers[name].Warning(); w != "" {
				list = append(list, fmt.Sprintf("header %s of %s: %s", name, v.Name, w))
			}
		}
		if v.InsecureSkipVerify {
			list = append(list, fmt.Sprintf("%s: the server's certificate isn't verified (insecure_skip_verify)", v.Name))
		}
	}
	for _, o := range c.Organizations {
		if o.Drift == replication.DriftRepair && o.VerifyEvery == 0 && o.ReconcileEvery == 0 {
			list = append(list, fmt.Sprintf(`%s: drift = "repair" has no effect without verify_every or reconcile_every`, o.key))
		}
	}
	list = append(list, c.ChangeLog.securityWarnings(c.Feed)...)
	list = append(list, c.Notify.warnings()...)
	list = append(list, c.StatusPage.securityWarnings()...)
	if c.AWS.ChangeLog && c.AWS.ChangeLogURL && !c.ChangeLog.identifiesCallers() {
		list = append(list, "aws.journal_url: the URL is open, but there is no token for pushes and no list of readers: every "+
			"member of an organization can read its changes")
	}
	used := map[string]bool{}
	for _, p := range c.Pairs() {
		used[p.ID.Replica] = true
	}
	for _, v := range c.Replicas {
		if !used[v.Name] {
			list = append(list, fmt.Sprintf("replica %s: no organization is replicated to it", v.Name))
		}
	}
	for _, o := range c.Organizations {
		list = append(list, o.selectionWarnings()...)
	}
	return list
}

// Setting is an effective value and its origin. Values can be displayed: secrets are
// references only.
type Setting struct {
	Key    string `json:"key"`    // such as primary.url or organization[0].interval
	Value  string `json:"value"`  // as text
	Origin string `json:"origin"` // FILE:LINE, default, env NAME or profile NAME
}

// IsDefault reports whether nobody has set the value.
func (s Setting) IsDefault() bool { return s.Origin == defaultOrigin }

// defaultOrigin is the origin of values that are not set.
const defaultOrigin = "default"

// Effective returns all settings in use, in the order of the file's sections.
func (c *Config) Effective() []Setting { return slices.Clone(c.settings) }
