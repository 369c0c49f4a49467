package cheftest

// searchFaults are faults of searches in an organization.
type searchFaults struct {
	searchWindow int
	replaceFunc  func(index string, row []byte) []byte
}

// SetSearchWindow makes the hits of a search behind the first n unreachable, as the
// engines of Chef Infra Server do behind 10,000 (docs/chef-server-api.md §6.2): the
// total is at most n, and a page that goes further is answered with 500. 0 is no
// limit.
func (o *Org) SetSearchWindow(n int) { o.s.withLock(func() { o.searchWindow = n }) }

// SpoilRows lets a function replace the rows of searches, as a server does whose
// rows don't come from its database; nil ends it.
func (o *Org) SpoilRows(spoil func(index string, row []byte) []byte) {
	o.s.withLock(func() { o.replaceFunc = spoil })
}

func (f searchFaults) replaceRow(index string, row *object) any {
	if f.replaceFunc == nil {
		return row
	}
	v, err := decode(f.replaceFunc(index, encode(row)))
	if err != nil {
		return nil
	}
	return v
}
