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
func (s *section) readSelection(kinds []object.Kind) (sel replication.Selection) {
	parse := func(text string) (replication.Pattern, error) {
		p, err := replication.ParsePattern(text)
		switch {
		case err != nil:
			return p, refuse(err.Error(), "%q isn't a pattern", text)
		case !slices.Contains(kinds, p.Kind):
			return p, refuse(fmt.Sprintf("add %q to kinds, or leave the pattern out", p.Kind.ConfigName()),
				"%q is of a kind that isn't replicated", text)
		case slices.Contains(sel.Include, p):
			return p, refuse("exclude takes precedence over include; leave one of them out", "%q is included and excluded", text)
		}
		return p, nil
	}
	included, _ := s.values["include"].([]any)
	sel.Include, _ = readList(s, "include", []string{includeAll},
		refuse("write patterns such as \"roles/web-*\", or leave the key out for all", "selects nothing"),
		func(text string) (replication.Pattern, error) {
			switch {
			case text != includeAll:
				return parse(text)
			case len(included) > 1:
				return replication.Pattern{}, refuse("leave the other patterns out, or this one", "%q selects everything", text)
			}
			return replication.Pattern{}, nil
		})
	if slices.Equal(sel.Include, []replication.Pattern{{}}) {
		sel.Include = nil
	}
	sel.Exclude, _ = readList(s, "exclude", nil, nil, parse)
	return sel
}

// selectionWarnings returns which kinds select nothing, or lack what they refer to.
func (o Organization) selectionWarnings() (list []string) {
	for _, k := range o.Kinds {
		if o.kindsGiven && !o.Includes(k) {
			list = append(list, fmt.Sprintf("%s: kinds contains %s, but include and exclude select none of them", o.key, k.ConfigName()))
		}
	}
	if o.Includes(object.Policy) && !o.Includes(object.CookbookArtifact) {
		list = append(list, fmt.Sprintf("%s: policies are replicated without cookbook_artifacts: nodes can't use them on a replica that "+
			"lacks the artifacts that they lock", o.key))
	}
	return list
}
