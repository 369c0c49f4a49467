package cmdline

import (
	"strings"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Objects are the objects that arguments name: each by its path, or many by a pattern.
type Objects struct {
	Refs     []object.Ref
	Patterns []replication.Pattern // with * or ?
}

// Named reports whether arguments name any object. Without one, all are meant.
func (o Objects) Named() bool { return len(o.Refs)+len(o.Patterns) > 0 }

// Matches reports whether an object matches one of the patterns.
func (o Objects) Matches(ref object.Ref) bool {
	return len(o.Patterns) > 0 && replication.Selection{Include: o.Patterns}.Selects(ref)
}

// first returns one of the arguments, with a slash at the beginning.
func (o Objects) first() string {
	if len(o.Refs) > 0 {
		return o.Refs[0].Path()
	}
	return "'/" + o.Patterns[0].String() + "'"
}

// add adds the object or the pattern that a word is. The error is that of a word which is
// neither.
func (o *Objects) add(word string) error {
	if strings.ContainsAny(word, "*?") {
		p, err := replication.ParsePattern(word)
		if err == nil {
			o.Patterns = append(o.Patterns, p)
		}
		return err
	}
	ref, err := object.ParseRef(word)
	if err == nil {
		o.Refs = append(o.Refs, ref)
	}
	return err
}

// splitWords sorts arguments into those that select pairs and objects.
func splitWords(a *app.App, words []string) (names []string, objects Objects, err error) {
	for _, w := range words {
		_, notPair := a.Select(w)
		if notPair == nil && !strings.HasPrefix(w, "/") {
			if (&Objects{}).add(w) == nil {
				return nil, objects, exit.Usagef("write /"+w+" for the object", "%q could be a pair or an object", w)
			}
			names = append(names, w)
			continue
		}
		if objects.add(w) != nil {
			return nil, objects, exit.With(exit.Of(notPair), notPair, app.ListHint+
				"; an object is written as cookbooks/NAME/VERSION, roles/NAME, environments/NAME or data_bags/BAG/ITEM")
		}
	}
	return names, objects, nil
}
