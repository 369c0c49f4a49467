package app

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
)

// Select returns the pairs that names select, as assembly.Fleet.Select does: no name
// selects all.
func (a *App) Select(names ...string) ([]Pair, error) { return a.SelectOn(nil, names...) }

// SelectOn is Select among the pairs of the named replicas. No replica means all.
func (a *App) SelectOn(replicas []string, names ...string) ([]Pair, error) {
	for _, r := range replicas {
		if !slices.ContainsFunc(a.Replicas, func(s config.Server) bool { return s.Name == r }) {
			return nil, exit.With(exit.NotFound, fmt.Errorf("there is no replica %q%s", r, didYouMean(r, a.ReplicaNames())), ListHint)
		}
	}
	for _, n := range names {
		if _, err := path.Match(n, ""); err != nil {
			return nil, exit.Usagef("a * matches any characters except a slash, as in 'eu/*' or '*/acme'", "%q is not a pattern", n)
		}
	}
	pairs, err := a.Fleet.Select(names...)
	var unknown *assembly.UnknownPairError
	if errors.As(err, &unknown) {
		return nil, exit.With(exit.NotFound, fmt.Errorf("%w%s", err, didYouMean(unknown.Name, a.selectorsLike(unknown.Name))), ListHint)
	}
	if err != nil || len(replicas) == 0 {
		return pairs, err
	}
	pairs = slices.DeleteFunc(slices.Clone(pairs), func(p Pair) bool { return !slices.Contains(replicas, p.ID.Replica) })
	if len(pairs) == 0 {
		return nil, exit.With(exit.NotFound, fmt.Errorf("no pair matches %s on replica %s", strings.Join(names, ", "), strings.Join(replicas, ", ")), ListHint)
	}
	return pairs, nil
}

// ListHint is the hint for a name that is unknown.
const ListHint = "chef-sync-ctl sync-status lists the pairs"

// didYouMean returns a clause that names the word that was probably meant, or "".
func didYouMean(word string, words []string) string {
	near := config.DidYouMean(word, words)
	if near == "" {
		return ""
	}
	return "; did you mean " + near + "?"
}

// selectorsLike returns selectors that match pairs and have the form of a word: names
// without or with a slash, or its pattern on a replica.
func (a *App) selectorsLike(word string) (words []string) {
	if slices.Contains(a.ReplicaNames(), word) {
		return []string{word + "/"}
	}
	_, org, hasReplica := strings.Cut(word, "/")
	if hasReplica && (org == "" || strings.ContainsAny(org, `*?[\`)) {
		for _, r := range a.ReplicaNames() {
			if _, err := a.Fleet.Select(r + "/" + org); err == nil {
				words = append(words, r+"/"+org)
			}
		}
		return words
	}
	for _, p := range a.Pairs() {
		if hasReplica {
			words = append(words, p.ID.String())
		} else {
			words = append(words, p.ID.Org, p.SourceOrg)
		}
	}
	return words
}

// ReplicaNames returns the names of the replicas, in the order of the configuration.
func (a *App) ReplicaNames() []string {
	names := make([]string, len(a.Replicas))
	for i, r := range a.Replicas {
		names[i] = r.Name
	}
	return names
}

// Selectors returns the words that completion offers for a PAIR: organizations, replicas
// with a slash, and pairs. Patterns are offered once a word begins with one.
func (a *App) Selectors(begun string) (words []string) {
	var orgs []string
	for _, p := range a.Pairs() {
		if !slices.Contains(orgs, p.ID.Org) {
			orgs = append(orgs, p.ID.Org)
		}
	}
	if strings.HasPrefix(begun, "*") {
		words = append(words, "*")
		for _, org := range orgs {
			words = append(words, "*/"+org)
		}
		return words
	}
	words = orgs
	for _, r := range a.ReplicaNames() {
		words = append(words, r+"/")
	}
	for _, p := range a.Pairs() {
		words = append(words, p.ID.String())
	}
	return words
}
