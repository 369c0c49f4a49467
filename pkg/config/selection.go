package config

import (
	"fmt"
	"slices"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// includeAll is the pattern of include that selects all objects.
const includeAll = "*"

// readSelection reads which names of the selected kinds are replicated.
func (s *section) readSelection(kinds []object.Kind) replication.Selection {
	include, given := s.stringList("include")
	if !given {
		include = []string{includeAll}
	} else if len(include) == 0 {
		s.badValue("include", "write patterns such as \"roles/web-*\", or leave the key out for all", "selects nothing")
	}
	s.recordSetting("include", fmt.Sprintf("%q", include), given)
	exclude, given := s.stringList("exclude")
	s.recordSetting("exclude", fmt.Sprintf("%q", exclude), given)
	sel := replication.Selection{}
	if !slices.Equal(include, []string{includeAll}) {
		sel.Include = s.readPatterns("include", include, kinds, nil)
	}
	sel.Exclude = s.readPatterns("exclude", exclude, kinds, sel.Include)
	return sel
}

// readPatterns reads the patterns of a key. Patterns of the other key are refused.
func (s *section) readPatterns(key string, texts []string, kinds []object.Kind,
	others []replication.Pattern) (list []replication.Pattern) {
	for i, text := range texts {
		at := indexKey(joinKey(s.path, key), i)
		p, err := replication.ParsePattern(text)
		switch {
		case text == includeAll && key == "include":
			s.addProblem(at, "leave the other patterns out, or this one", "%q selects everything", text)
		case err != nil:
			s.addProblem(at, err.Error(), "%q isn't a pattern", text)
		case !slices.Contains(kinds, p.Kind):
			s.addProblem(at, fmt.Sprintf("add %q to kinds, or leave the pattern out", p.Kind.ConfigName()),
				"%q is of a kind that isn't replicated", text)
		case slices.Contains(list, p):
			s.addProblem(at, "", "%q is listed twice", text)
		case slices.Contains(others, p):
			s.addProblem(at, "exclude takes precedence over include; leave one of them out", "%q is included and excluded", text)
		default:
			list = append(list, p)
		}
	}
	return list
}

// selectionWarnings returns which kinds select nothing, or lack what they refer to.
func (o Organization) selectionWarnings() (list []string) {
	pair := replication.Pair{Kinds: o.Kinds, Selection: o.Selection}
	for _, k := range o.Kinds {
		if o.kindsGiven && !pair.Includes(k) {
			list = append(list, fmt.Sprintf("%s: kinds contains %s, but include and exclude select none of them", o.key, k.ConfigName()))
		}
	}
	if pair.Includes(object.Policy) && !pair.Includes(object.CookbookArtifact) {
		list = append(list, fmt.Sprintf("%s: policies are replicated without cookbook_artifacts: nodes can't use them on a replica that "+
			"lacks the artifacts that they lock", o.key))
	}
	return list
}
