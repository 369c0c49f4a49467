package cheftest

import "slices"

// Content is kept as on the real server: a blob is what the bookshelf holds, a
// checksum is known once a sandbox committed it, and a known checksum that no
// version or artifact links any more is forgotten at once, with its blob
// (chef-server-api.md §3.3).

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

// relink moves the links of an updated version. When a checksum is missing the
// old links are gone already; only the content stays.
func (o *Org) relink(old, fresh *cookbook) (missing string) {
	forgotten := o.unlink(old.linked, fresh.sums, false)
	if missing = o.link(old.linked, fresh.sums); missing != "" {
		return missing
	}
	o.purge(forgotten)
	fresh.linked = old.linked
	return ""
}
