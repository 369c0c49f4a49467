package cheftest

import "slices"

// Content is kept as on the real server: a blob is what the bookshelf holds, a
// checksum is known once a sandbox committed it, and a known checksum that no
// version or artifact links any more is forgotten at once, with its blob
// (docs/chef-server-api.md §3.3).

// link links checksums until one isn't known, which it returns.
func (o *Org) link(linked map[string]bool, sums []string) (missing string) {
	for _, sum := range sums {
		if linked[sum] {
			continue
		}
		if !o.known[sum] {
			return sum
		}
		linked[sum] = true
		o.refs[sum]++
	}
	return ""
}

// unlink drops links but those to keep, forgets the checksums that nothing
// links any more, and with purge their content. It returns what it forgot.
func (o *Org) unlink(linked map[string]bool, keep []string, purge bool) (forgotten []string) {
	for sum := range linked {
		if slices.Contains(keep, sum) {
			continue
		}
		delete(linked, sum)
		if o.refs[sum]--; o.refs[sum] <= 0 {
			delete(o.refs, sum)
			delete(o.known, sum)
			forgotten = append(forgotten, sum)
		}
	}
	if purge {
		o.purge(forgotten)
	}
	return forgotten
}

func (o *Org) purge(sums []string) {
	for _, sum := range sums {
		delete(o.blobs, sum)
	}
}

// relink moves the links of an updated version, and returns the checksums that it
// forgot. When a checksum is missing the old links are gone already; only the
// content stays.
func (o *Org) relink(old, fresh *cookbook) (forgotten []string, missing string) {
	forgotten = o.unlink(old.linked, fresh.sums, false)
	if missing = o.link(old.linked, fresh.sums); missing != "" {
		return nil, missing
	}
	o.purge(forgotten)
	fresh.linked = old.linked
	return forgotten, ""
}

// collides reports whether an overwrite forgot a checksum that another one, which
// ended while this one was under way, dropped too. The real server then looks for
// the checksum twice, finds it once, and fails after the effect.
func (o *Org) collides(q *request, dropped, forgotten []string) bool {
	found := slices.ContainsFunc(forgotten, func(sum string) bool { return o.replaced[sum] > q.arrived })
	now := q.s.moments.Add(1)
	for _, sum := range dropped {
		o.replaced[sum] = now
	}
	return found
}
