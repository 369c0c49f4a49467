package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// replicaName reads the name of a replica.
func (s *section) replicaName() string {
	name, given := s.text("name")
	if !given {
		s.missing("name", `write a short name such as name = "eu"`)
		return ""
	}
	ok, err := regexp.MatchString(`^[A-Za-z0-9_-]{1,32}$`, name)
	switch {
	case !ok || err != nil:
		s.bad("name", "use up to 32 of A-Z, a-z, 0-9, _ and -", "%q can't be the name of a replica", name)
	case name == "primary":
		s.bad("name", "choose another name", "would be mistaken for the primary")
	}
	s.effective("name", name, true)
	return name
}

// checkReplica checks the newest replica against what was read before it.
func (r *reader) checkReplica(c *Config, i int) {
	v, key := c.Replicas[len(c.Replicas)-1], index("replica", i)
	if v.URL == "" {
		return
	}
	at := key + ".url"
	if _, there := r.places[at]; !there {
		at = key
	}
	if v.URL == c.Primary.URL {
		r.problem(at, "a replica must be another server; replicas can't be primaries in turn", "is the primary itself, %s", v.URL)
	}
	for _, other := range c.Replicas[:len(c.Replicas)-1] {
		if other.URL == v.URL {
			r.problem(at, "name the server once and give it several organizations", "is the same server as replica %q", other.Name)
		}
		if other.Name == v.Name && v.Name != "" {
			r.problem(key+".name", "", "two replicas are called %q", v.Name)
		}
	}
}

// check looks at the whole.
func (r *reader) check(c *Config) {
	if _, there := r.places["primary"]; !there && c.Primary.URL == "" {
		r.problems = slices.DeleteFunc(r.problems, func(p Problem) bool { return strings.HasPrefix(p.Key, "primary.") && p.Message == "is missing" })
		r.problem("primary", "write [primary] with url, user and key", "is missing")
	}
	if _, there := r.places["replica"]; !there {
		r.problem("replica", "write [[replica]] with name, url, user and key", "there is none")
	}
	if _, there := r.places["organization"]; !there {
		r.problem("organization", `write [[organization]] with source = "NAME"`, "there is none, so nothing would be replicated")
	}
	r.checkJournal(c)
	taken := map[string]string{}
	for _, o := range c.Organizations {
		for _, name := range o.Replicas {
			r.checkPair(c, o, name, taken)
		}
	}
}

// checkPair refuses a destination that a replica can't have or that is taken.
func (r *reader) checkPair(c *Config, o Organization, replica string, taken map[string]string) {
	i := slices.IndexFunc(c.Replicas, func(v Server) bool { return v.Name == replica })
	if i < 0 {
		return
	}
	at := o.key + ".destination"
	if _, there := r.places[at]; !there {
		at = o.key
	}
	v := c.Replicas[i]
	switch {
	case v.Orgless && o.Destination != "" && o.Destination != OrglessName:
		r.problem(at, fmt.Sprintf("leave destination out for this replica, in an [[organization]] of its own if need be, or write %q", OrglessName),
			"replica %q has no organizations, so it can't hold %q", replica, o.Destination)
		return
	case c.Primary.Orgless && !v.Orgless && o.Destination == "":
		r.problem(at, fmt.Sprintf("write destination with the name of an organization of replica %q", replica),
			"the primary has no organizations, so there is no name to use on replica %q", replica)
		return
	case o.Source == "" && o.Destination == "":
		return // reported already
	}
	pair := replica + "/" + o.destination(v)
	if first, ok := taken[pair]; ok {
		r.problem(at, "give one of them another destination or other replicas", "%s is the destination of %s already: a destination belongs to one pair only", pair, first)
		return
	}
	taken[pair] = fmt.Sprintf("%s (line %d)", o.key, r.places[o.key].line)
}

// destination is the organization on a replica.
func (o Organization) destination(v Server) string {
	switch {
	case v.Orgless:
		return OrglessName
	case o.Destination != "":
		return o.Destination
	}
	return o.Source
}
