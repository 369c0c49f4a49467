package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// The defaults of an organization.
const (
	defaultInterval       = time.Minute
	defaultCompareEvery   = 15 * time.Minute
	defaultReconcileEvery = 24 * time.Hour
	defaultVerifyEvery    = 24 * time.Hour
	defaultMaxDelete      = 20 // percent
	minInterval           = time.Second

	defaultVerifyFilesEvery = 7 * 24 * time.Hour
)

// kindNames returns the names of kinds in the configuration.
func kindNames(kinds []object.Kind) []string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = k.ConfigName()
	}
	return words
}

// selectableKinds returns the kinds that can be selected: the default ones, and those of
// policyfiles, which not every server has.
func selectableKinds() []object.Kind {
	return append(object.DefaultKinds(), object.Policy, object.PolicyGroup, object.CookbookArtifact)
}

func (s *section) readOrganization(c *Config) Organization {
	o := Organization{key: s.path}
	o.SourceOrg = s.readSource(c)
	o.Destination = s.stringValue("destination", "string", "", checkOrgName)
	o.Replicas = s.readReplicas(c)
	o.Interval = s.durationValue("interval", defaultInterval, minInterval)
	o.Kinds, o.kindsGiven = s.readKinds()
	o.Selection = s.readSelection(o.Kinds)
	o.Prune = enumValue(s, "prune", replication.PruneReplicated, replication.PruneReplicated, replication.PruneAll, replication.PruneNone)
	o.MaxDelete = s.readMaxDelete()
	o.CompareEvery = s.durationValue("compare_every", defaultCompareEvery, minInterval)
	o.ReconcileEvery = s.durationOrNever("reconcile_every", defaultReconcileEvery)
	o.VerifyEvery = s.durationOrNever("verify_every", defaultVerifyEvery)
	o.FilesEvery = s.durationOrNever("verify_files_every", defaultVerifyFilesEvery)
	o.Drift = enumValue(s, "drift", replication.DriftReport, replication.DriftReport, replication.DriftRepair)
	o.NoUndo = !s.boolValue("undo", true)
	s.reportUnknownKeys(map[string]string{"name": "source", "org": "source", "from": "source", "to": "destination", "replica": "replicas",
		"schedule": "interval", "rate": "interval", "filter": "include", "only": "include", "skip": "exclude", "ignore": "exclude",
		"delete_limit": "max_delete", "max_deletes": "max_delete", "policies": "kinds"})
	return o
}

// readSource reads the organization on the primary. A primary without organizations
// counts as one.
func (s *section) readSource(c *Config) string {
	if c.Primary.Orgless {
		return s.stringValue("source", "string", OrglessName, func(v string) error {
			if v == OrglessName {
				return nil
			}
			return refuse(fmt.Sprintf("leave source out, or write %q", OrglessName), "the primary has no organizations")
		})
	}
	source, given := readKey(s, "source", "", textType("source", "string", func(v string) (string, error) { return v, checkOrgName(v) }, sameText))
	if !given {
		s.reportMissing("source", "write the name of an organization of the primary")
	}
	return source
}

// checkOrgName checks the name of an organization (docs/chef-server-api.md §4.7).
func checkOrgName(name string) error {
	if matches(`^[a-z0-9][a-z0-9_-]{0,254}$`, name) {
		return nil
	}
	try := "names of organizations consist of a-z, 0-9, _ and -, start with a letter or digit, and have at most 255 characters"
	if lower := strings.ToLower(name); lower != name && checkOrgName(lower) == nil {
		try = fmt.Sprintf("did you mean %q? Names are in lower case; don't use the display name", lower)
	} else if lower != name {
		try += "; don't use the display name"
	}
	return refuse(try, "%q isn't the name of an organization", name)
}

func (s *section) readReplicas(c *Config) []string {
	all := make([]string, len(c.Replicas))
	for i := range c.Replicas {
		all[i] = c.Replicas[i].Name
	}
	names, given := readList(s, "replicas", all, refuse("name a replica, or leave the key out for all", "names no replica"),
		func(name string) (string, error) {
			if slices.Contains(all, name) {
				return name, nil
			}
			return "", refuse(suggestWord(name, all, "replicas are: "+quoteList(all)), "there is no replica %q", name)
		})
	if !given {
		return all
	}
	return names
}

func (s *section) readKinds() (kinds []object.Kind, given bool) {
	known := kindNames(selectableKinds())
	kinds, given = readList(s, "kinds", kindNames(object.DefaultKinds()),
		refuse("write some of "+quoteList(known)+", or leave the key out for the first four", "selects nothing"),
		func(word string) (object.Kind, error) {
			if slices.Contains([]string{"nodes", "clients", "users", "groups", "acls"}, word) {
				return "", refuse("kinds are "+quoteList(known), "%s are not replicated", word)
			}
			if i := slices.Index(known, word); i >= 0 {
				return selectableKinds()[i], nil
			}
			return "", refuse(suggestWord(word, known, "write "+quoteList(known)), "%q isn't a kind of object", word)
		})
	if !given {
		kinds = object.DefaultKinds()
	}
	if slices.Contains(kinds, object.PolicyGroup) && !slices.Contains(kinds, object.Policy) {
		s.badValue("kinds", `add "policies": a policy group on the replica needs the revisions that it binds`,
			"selects policy_groups without policies")
	}
	return kinds, given
}

func (s *section) readMaxDelete() replication.Limit {
	t := keyType[replication.Limit]{form: "limit: share, number or both", text: replication.Limit.String}
	t.parse = func(raw any) (replication.Limit, error) {
		if n, isInt := raw.(int64); isInt {
			raw = strconv.FormatInt(n, 10)
		}
		text, ok := raw.(string)
		if !ok {
			return replication.Limit{}, refuse(`write max_delete = "20%"`, "must be a limit")
		}
		l, err := replication.ParseLimit(text)
		switch {
		case err == nil:
			return l, nil
		case text == "0" || text == "0%":
			return l, refuse(`write prune = "none" to delete nothing in full comparisons`, "%q isn't a limit", text)
		}
		return l, refuse(`write "20%", "50" or "20%,50"`, "%q isn't a limit", text)
	}
	limit, _ := readKey(s, "max_delete", replication.Limit{Percent: defaultMaxDelete}, t)
	return limit
}
