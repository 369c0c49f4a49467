package cheftest

import "slices"

// Content is kept as on the real server: a blob is what the bookshelf holds, a
// checksum is known once a sandbox committed it, and a known checksum that no
// version or artifact links is deleted at once, with its blob
// (docs/chef-server-api.md §3.3).

// linkChecksums links checksums until one isn't known, which it returns.
func (o *Org) linkChecksums(linked map[string]bool, sums []string) (missing string) {
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

// unlinkChecksums removes links except those to keep, deletes the checksums that nothing
// links, and with purge their content. It returns the deleted checksums.
func (o *Org) unlinkChecksums(linked map[string]bool, keep []string, purge bool) (forgotten []string) {
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
		o.deleteBlobs(forgotten)
	}
	return forgotten
}

func (o *Org) deleteBlobs(sums []string) {
	for _, sum := range sums {
		delete(o.blobs, sum)
	}
}

// relinkChecksums moves the links of an updated version, and returns the checksums that
// it deleted. If a checksum is missing, the old links are gone already; only the content
// is kept.
func (o *Org) relinkChecksums(old, fresh *cookbook) (forgotten []string, missing string) {
	forgotten = o.unlinkChecksums(old.linked, fresh.sums, false)
	if missing = o.linkChecksums(old.linked, fresh.sums); missing != "" {
		return nil, missing
	}
	o.deleteBlobs(forgotten)
	fresh.linked = old.linked
	return forgotten, ""
}

// overwriteCollides reports whether an overwrite deleted a checksum that a concurrent one
// deleted, too. The real server then looks for
// the checksum twice, finds it once, and fails after the effect.
func (o *Org) overwriteCollides(q *request, dropped, forgotten []string) bool {
	found := slices.ContainsFunc(forgotten, func(sum string) bool { return o.replaced[sum] > q.arrived })
	now := q.s.moments.Add(1)
	for _, sum := range dropped {
		o.replaced[sum] = now
	}
	return found
}
