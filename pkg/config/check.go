package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// readReplicaName reads the name of a replica.
func (s *section) readReplicaName() string {
	name, given := readKey(s, "name", "", textType("name", "string", func(v string) (string, error) {
		switch {
		case !matches(`^[A-Za-z0-9_-]{1,32}$`, v):
			return "", refuse("use up to 32 of A-Z, a-z, 0-9, _ and -", "%q can't be the name of a replica", v)
		case v == "primary":
			return "", refuse("choose another name", "would be mistaken for the primary")
		}
		return v, nil
	}, sameText))
	if !given {
		s.reportMissing("name", `write a short name such as name = "eu"`)
	}
	return name
}

// checkReplica checks the last replica against what was read before it.
func (r *reader) checkReplica(c *Config, i int) {
	v, key := c.Replicas[len(c.Replicas)-1], indexKey("replica", i)
	if v.URL == "" {
		return
	}
	at := firstPresent(r.positions, key+".url", key)
	if v.URL == c.Primary.URL {
		r.addProblem(at, "a replica must be a different server; a replica can't be a primary", "is the primary itself, %s", v.URL)
	}
	for _, other := range c.Replicas[:len(c.Replicas)-1] {
		if other.URL == v.URL {
			r.addProblem(at, "list the server once and give it several organizations", "is the same server as replica %q", other.Name)
		}
		if other.Name == v.Name && v.Name != "" {
			r.addProblem(key+".name", "", "two replicas are called %q", v.Name)
		}
	}
}

// checkConfig checks the configuration as a whole.
func (r *reader) checkConfig(c *Config) {
	if _, there := r.positions["primary"]; !there && c.Primary.URL == "" {
		r.problems = slices.DeleteFunc(r.problems, func(p Problem) bool {
			return strings.HasPrefix(p.Key, "primary.") &&
				p.Message == "is missing"
		})
		r.addProblem("primary", "write [primary] with url, user and key", "is missing")
	}
	if _, there := r.positions["replica"]; !there {
		r.addProblem("replica", "write [[replica]] with name, url, user and key", "there is none")
	}
	if _, there := r.positions["organization"]; !there {
		r.addProblem("organization", `write [[organization]] with source = "NAME"`, "there is none, so nothing would be replicated")
	}
	r.checkChangeLog(c)
	r.checkListeners(c)
	taken := map[string]string{}
	for _, o := range c.Organizations {
		for _, name := range o.Replicas {
			r.checkPair(c, o, name, taken)
		}
	}
}

// checkListeners refuses one address for two listeners: the second one would wait for the
// first, and never serve.
func (r *reader) checkListeners(c *Config) {
	if c.Feed != FeedUpdatedSince && sharesAddress(c.ChangeLog.Listen, c.StatusPage.Listen) {
		r.addProblem("status.listen", "choose another port", "%q is the address of journal.listen, too", c.StatusPage.Listen)
	}
}

// sharesAddress reports whether two addresses to listen on can't be used at once.
func sharesAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || isAnyHost(hostA) || isAnyHost(hostB)
}

// isAnyHost reports whether a listener on a host takes all addresses of the machine.
func isAnyHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// checkPair refuses a destination that a replica can't have or that another pair has.
func (r *reader) checkPair(c *Config, o Organization, replica string, taken map[string]string) {
	i := slices.IndexFunc(c.Replicas, func(v Server) bool { return v.Name == replica })
	if i < 0 {
		return
	}
	at := firstPresent(r.positions, o.key+".destination", o.key)
	v := c.Replicas[i]
	switch {
	case v.Orgless && o.Destination != "" && o.Destination != OrglessName:
		r.addProblem(at, fmt.Sprintf("leave destination out for this replica, in a separate [[organization]] if needed, or "+
			"write %q", OrglessName),
			"replica %q has no organizations, so it can't hold %q", replica, o.Destination)
		return
	case c.Primary.Orgless && !v.Orgless && o.Destination == "":
		r.addProblem(at, fmt.Sprintf("write destination with the name of an organization of replica %q", replica),
			"the primary has no organizations, so there is no name to use on replica %q", replica)
		return
	case o.SourceOrg == "" && o.Destination == "":
		return // reported already
	}
	pair := replica + "/" + o.destinationOn(v)
	if first, ok := taken[pair]; ok {
		r.addProblem(at, "give one of them a different destination or different replicas",
			"%s is already the destination of %s: a destination can belong to only one pair", pair, first)
		return
	}
	taken[pair] = fmt.Sprintf("%s (line %d)", o.key, r.positions[o.key].line)
}

// destinationOn returns the organization on a replica.
func (o Organization) destinationOn(v Server) string {
	switch {
	case v.Orgless:
		return OrglessName
	case o.Destination != "":
		return o.Destination
	}
	return o.SourceOrg
}
