package config

import (
	"fmt"
	"slices"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// everything is the pattern of include that stands for all objects.
const everything = "*"

// selection reads which names of the selected kinds are copied.
func (s *section) selection(kinds []object.Kind) replication.Selection {
	include, given := s.texts("include")
	if !given {
		include = []string{everything}
	} else if len(include) == 0 {
		s.bad("include", "write patterns such as \"roles/web-*\", or leave the key out for all", "selects nothing")
	}
	s.effective("include", fmt.Sprintf("%q", include), given)
	exclude, given := s.texts("exclude")
	s.effective("exclude", fmt.Sprintf("%q", exclude), given)
	sel := replication.Selection{}
	if !slices.Equal(include, []string{everything}) {
		sel.Include = s.selects("include", include, kinds, nil)
	}
	sel.Exclude = s.selects("exclude", exclude, kinds, sel.Include)
	return sel
}

// selects reads the patterns of a key. Those of another key must not stand here
// too.
func (s *section) selects(key string, texts []string, kinds []object.Kind, others []replication.Pattern) (list []replication.Pattern) {
	for i, text := range texts {
		at := index(join(s.path, key), i)
		p, err := replication.ParsePattern(text)
		switch {
		case text == everything && key == "include":
			s.problem(at, "leave the other patterns out, or this one", "%q selects everything", text)
		case err != nil:
			s.problem(at, err.Error(), "%q isn't a pattern", text)
		case !slices.Contains(kinds, p.Kind):
			s.problem(at, fmt.Sprintf("add %q to kinds, or leave the pattern out", p.Kind.ConfigName()), "%q is of a kind that isn't copied", text)
		case slices.Contains(list, p):
			s.problem(at, "", "%q stands here twice", text)
		case slices.Contains(others, p):
			s.problem(at, "exclude wins over include; leave one of them out", "%q is included and excluded", text)
		default:
			list = append(list, p)
		}
	}
	return list
}

// warnings says which kinds are named for nothing, or lack what they refer to.
func (o Organization) warnings() (list []string) {
	pair := replication.Pair{Kinds: o.Kinds, Selection: o.Selection}
	for _, k := range o.Kinds {
		if o.kindsGiven && !pair.Includes(k) {
			list = append(list, fmt.Sprintf("%s: kinds names %s, but include and exclude leave none of them", o.key, k.ConfigName()))
		}
	}
	if pair.Includes(object.Policy) && !pair.Includes(object.CookbookArtifact) {
		list = append(list, fmt.Sprintf("%s: policies are copied without cookbook_artifacts: nodes can't use them on a replica that lacks the artifacts that they lock", o.key))
	}
	return list
}
