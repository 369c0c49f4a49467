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
	leastInterval         = time.Second

	defaultVerifyFilesEvery = 7 * 24 * time.Hour
)

// wordsOf are the words for kinds.
func wordsOf(kinds []object.Kind) []string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = k.ConfigName()
	}
	return words
}

// chosenKinds are those that can be chosen: the default ones, and policyfiles,
// which not every server has.
func chosenKinds() []object.Kind {
	return append(object.DefaultKinds(), object.Policy, object.PolicyGroup, object.CookbookArtifact)
}

func kindOf(word string) object.Kind {
	i := slices.Index(wordsOf(chosenKinds()), word)
	if i < 0 {
		return ""
	}
	return chosenKinds()[i]
}

func (s *section) organization(c *Config) Organization {
	o := Organization{key: s.path}
	o.Source = s.source(c)
	destination, given := s.text("destination")
	if given && s.orgName("destination", destination) {
		o.Destination = destination
	}
	s.effective("destination", o.Destination, given)
	o.Replicas = s.replicas(c)
	o.Interval = s.duration("interval", defaultInterval, leastInterval, "")
	o.Kinds, o.kindsGiven = s.kinds()
	o.Selection = s.selection(o.Kinds)
	o.Prune = replication.Prune(s.word("prune", string(replication.PruneReplicated),
		string(replication.PruneReplicated), string(replication.PruneAll), string(replication.PruneNone)))
	o.MaxDelete = s.limit()
	o.CompareEvery = s.duration("compare_every", defaultCompareEvery, leastInterval, "")
	o.ReconcileEvery = s.duration("reconcile_every", defaultReconcileEvery, leastInterval, "never")
	o.VerifyEvery = s.duration("verify_every", defaultVerifyEvery, leastInterval, "never")
	o.VerifyFilesEvery = s.duration("verify_files_every", defaultVerifyFilesEvery, leastInterval, "never")
	o.Drift = replication.DriftRule(s.word("drift", string(replication.DriftReport), string(replication.DriftReport), string(replication.DriftRepair)))
	s.done(map[string]string{"name": "source", "org": "source", "from": "source", "to": "destination", "replica": "replicas",
		"schedule": "interval", "rate": "interval", "filter": "include", "only": "include", "skip": "exclude", "ignore": "exclude", "delete_limit": "max_delete", "max_deletes": "max_delete", "policies": "kinds"})
	return o
}

// source reads the organization on the primary. A primary without
// organizations has only one thing to read.
func (s *section) source(c *Config) string {
	source, given := s.text("source")
	if c.Primary.Orgless {
		if given && source != OrglessName {
			s.bad("source", fmt.Sprintf("leave source out, or write %q", OrglessName), "the primary has no organizations")
		}
		s.effective("source", OrglessName, given)
		return OrglessName
	}
	if !given {
		s.missing("source", "write the name of an organization of the primary")
	} else {
		s.orgName("source", source)
	}
	s.effective("source", source, given)
	return source
}

// orgName checks the name of an organization (docs/chef-server-api.md §4.7).
func (s *section) orgName(key, name string) bool {
	ok, err := regexp.MatchString(`^[a-z0-9][a-z0-9_-]{0,254}$`, name)
	if ok && err == nil {
		return true
	}
	try := "organizations are named in a-z, 0-9, _ and -, beginning with a letter or digit, 255 at most"
	if lower := strings.ToLower(name); lower != name && len(name) < 255 {
		try = fmt.Sprintf("did you mean %q? Names are in lower case; the display name isn't the name", lower)
	}
	s.bad(key, try, "%q isn't the name of an organization", name)
	return false
}

func (s *section) replicas(c *Config) []string {
	all := make([]string, len(c.Replicas))
	for i := range c.Replicas {
		all[i] = c.Replicas[i].Name
	}
	names, given := s.texts("replicas")
	if !given {
		s.effective("replicas", fmt.Sprintf("%q", all), false)
		return all
	}
	if len(names) == 0 {
		s.bad("replicas", "name a replica, or leave the key out for all", "names no replica")
	}
	var known []string
	for i, name := range names {
		key := index(join(s.path, "replicas"), i)
		switch {
		case slices.Contains(known, name):
			s.problem(key, "", "%q stands here twice", name)
		case !slices.Contains(all, name):
			try := "replicas are: " + oneOf(all)
			if w := didYouMean(name, all); w != "" {
				try = fmt.Sprintf("did you mean %q?", w)
			}
			s.problem(key, try, "there is no replica %q", name)
		default:
			known = append(known, name)
		}
	}
	s.effective("replicas", fmt.Sprintf("%q", names), true)
	return known
}

func (s *section) kinds() (kinds []object.Kind, given bool) {
	known := wordsOf(chosenKinds())
	words, given := s.texts("kinds")
	if !given {
		words = wordsOf(object.DefaultKinds())
	} else if len(words) == 0 {
		s.bad("kinds", "write some of "+oneOf(known)+", or leave the key out for the first four", "selects nothing")
	}
	for i, w := range words {
		key := index(join(s.path, "kinds"), i)
		switch k := kindOf(w); {
		case slices.Contains([]string{"nodes", "clients", "users", "groups", "acls"}, w):
			s.problem(key, "kinds are "+oneOf(known), "%s are not replicated", w)
		case k == "":
			try := "write " + oneOf(known)
			if m := didYouMean(w, known); m != "" {
				try = fmt.Sprintf("did you mean %q?", m)
			}
			s.problem(key, try, "%q isn't a kind of object", w)
		case slices.Contains(kinds, k):
			s.problem(key, "", "%q stands here twice", w)
		default:
			kinds = append(kinds, k)
		}
	}
	if slices.Contains(kinds, object.PolicyGroup) && !slices.Contains(kinds, object.Policy) {
		s.bad("kinds", `add "policies": a policy group on the replica needs the revisions that it binds`, "selects policy_groups without policies")
	}
	s.effective("kinds", fmt.Sprintf("%q", words), given)
	return kinds, given
}

func (s *section) limit() replication.Limit {
	text := defaultMaxDelete
	v, given := s.take("max_delete")
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
			try = `write prune = "none" to delete nothing in full compares`
		}
		s.bad("max_delete", try, "%q isn't a limit", text)
	}
	s.effective("max_delete", l.String(), given)
	return l
}
