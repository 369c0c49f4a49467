package config

import (
	"fmt"
	"regexp"
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
	defaultMaxDelete      = "20%"
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

func kindByName(word string) object.Kind {
	i := slices.Index(kindNames(selectableKinds()), word)
	if i < 0 {
		return ""
	}
	return selectableKinds()[i]
}

func (s *section) readOrganization(c *Config) Organization {
	o := Organization{key: s.path}
	o.Source = s.readSource(c)
	destination, given := s.stringValue("destination")
	if given && s.checkOrgName("destination", destination) {
		o.Destination = destination
	}
	s.recordSetting("destination", o.Destination, given)
	o.Replicas = s.readReplicas(c)
	o.Interval = s.durationValue("interval", defaultInterval, minInterval, "")
	o.Kinds, o.kindsGiven = s.readKinds()
	o.Selection = s.readSelection(o.Kinds)
	o.Prune = replication.Prune(s.enumValue("prune", string(replication.PruneReplicated),
		string(replication.PruneReplicated), string(replication.PruneAll), string(replication.PruneNone)))
	o.MaxDelete = s.readMaxDelete()
	o.CompareEvery = s.durationValue("compare_every", defaultCompareEvery, minInterval, "")
	o.ReconcileEvery = s.durationValue("reconcile_every", defaultReconcileEvery, minInterval, "never")
	o.VerifyEvery = s.durationValue("verify_every", defaultVerifyEvery, minInterval, "never")
	o.VerifyFilesEvery = s.durationValue("verify_files_every", defaultVerifyFilesEvery, minInterval, "never")
	o.Drift = replication.DriftRule(s.enumValue("drift", string(replication.DriftReport), string(replication.DriftReport),
		string(replication.DriftRepair)))
	o.Undo = s.boolValue("undo", true)
	s.reportUnknownKeys(map[string]string{"name": "source", "org": "source", "from": "source", "to": "destination", "replica": "replicas",
		"schedule": "interval", "rate": "interval", "filter": "include", "only": "include", "skip": "exclude", "ignore": "exclude",
		"delete_limit": "max_delete", "max_deletes": "max_delete", "policies": "kinds"})
	return o
}

// readSource reads the organization on the primary. A primary without organizations
// counts as one.
func (s *section) readSource(c *Config) string {
	source, given := s.stringValue("source")
	if c.Primary.Orgless {
		if given && source != OrglessName {
			s.badValue("source", fmt.Sprintf("leave source out, or write %q", OrglessName), "the primary has no organizations")
		}
		s.recordSetting("source", OrglessName, given)
		return OrglessName
	}
	if !given {
		s.reportMissing("source", "write the name of an organization of the primary")
	} else {
		s.checkOrgName("source", source)
	}
	s.recordSetting("source", source, given)
	return source
}

// checkOrgName checks the name of an organization (docs/chef-server-api.md §4.7).
func (s *section) checkOrgName(key, name string) bool {
	ok, err := regexp.MatchString(`^[a-z0-9][a-z0-9_-]{0,254}$`, name)
	if ok && err == nil {
		return true
	}
	try := "names of organizations consist of a-z, 0-9, _ and -, start with a letter or digit, and have at most 255 characters"
	if lower := strings.ToLower(name); lower != name && len(name) < 255 {
		try = fmt.Sprintf("did you mean %q? Names are in lower case; don't use the display name", lower)
	}
	s.badValue(key, try, "%q isn't the name of an organization", name)
	return false
}

func (s *section) readReplicas(c *Config) []string {
	all := make([]string, len(c.Replicas))
	for i := range c.Replicas {
		all[i] = c.Replicas[i].Name
	}
	names, given := s.stringList("replicas")
	if !given {
		s.recordSetting("replicas", fmt.Sprintf("%q", all), false)
		return all
	}
	if len(names) == 0 {
		s.badValue("replicas", "name a replica, or leave the key out for all", "names no replica")
	}
	var known []string
	for i, name := range names {
		key := indexKey(joinKey(s.path, "replicas"), i)
		switch {
		case slices.Contains(known, name):
			s.addProblem(key, "", "%q is listed twice", name)
		case !slices.Contains(all, name):
			try := "replicas are: " + quoteList(all)
			if w := DidYouMean(name, all); w != "" {
				try = fmt.Sprintf("did you mean %q?", w)
			}
			s.addProblem(key, try, "there is no replica %q", name)
		default:
			known = append(known, name)
		}
	}
	s.recordSetting("replicas", fmt.Sprintf("%q", names), true)
	return known
}

func (s *section) readKinds() (kinds []object.Kind, given bool) {
	known := kindNames(selectableKinds())
	words, given := s.stringList("kinds")
	if !given {
		words = kindNames(object.DefaultKinds())
	} else if len(words) == 0 {
		s.badValue("kinds", "write some of "+quoteList(known)+", or leave the key out for the first four", "selects nothing")
	}
	for i, w := range words {
		key := indexKey(joinKey(s.path, "kinds"), i)
		switch k := kindByName(w); {
		case slices.Contains([]string{"nodes", "clients", "users", "groups", "acls"}, w):
			s.addProblem(key, "kinds are "+quoteList(known), "%s are not replicated", w)
		case k == "":
			try := "write " + quoteList(known)
			if m := DidYouMean(w, known); m != "" {
				try = fmt.Sprintf("did you mean %q?", m)
			}
			s.addProblem(key, try, "%q isn't a kind of object", w)
		case slices.Contains(kinds, k):
			s.addProblem(key, "", "%q is listed twice", w)
		default:
			kinds = append(kinds, k)
		}
	}
	if slices.Contains(kinds, object.PolicyGroup) && !slices.Contains(kinds, object.Policy) {
		s.badValue("kinds", `add "policies": a policy group on the replica needs the revisions that it binds`,
			"selects policy_groups without policies")
	}
	s.recordSetting("kinds", fmt.Sprintf("%q", words), given)
	return kinds, given
}

func (s *section) readMaxDelete() replication.Limit {
	s.recordForm("max_delete", "limit: share, number or both")
	text := defaultMaxDelete
	v, given := s.rawValue("max_delete")
	switch v := v.(type) {
	case nil:
	case string:
		text = v
	case int64:
		text = strconv.FormatInt(v, 10)
	default:
		s.wrongType("max_delete", `write max_delete = "20%"`, "a limit")
	}
	l, err := replication.ParseLimit(text)
	if err != nil {
		try := `write "20%", "50" or "20%,50"`
		if text == "0" || text == "0%" {
			try = `write prune = "none" to delete nothing in full comparisons`
		}
		s.badValue("max_delete", try, "%q isn't a limit", text)
	}
	s.recordSetting("max_delete", l.String(), given)
	return l
}
