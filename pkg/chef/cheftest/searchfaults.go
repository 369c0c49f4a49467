package cheftest

// searchFaults are what a search of an organization does wrong.
type searchFaults struct {
	searchWindow int
	spoilRow     func(index string, row []byte) []byte
}

// SetSearchWindow makes the hits of a search behind the first n unreachable, as the
// engines of Chef Infra Server do behind 10,000 (docs/chef-server-api.md §6.2): the
// total is at most n, and a page that goes further is answered with 500. 0 is no
// limit.
func (o *Org) SetSearchWindow(n int) { o.s.locked(func() { o.searchWindow = n }) }

// SpoilRows lets a function replace the rows of searches, as a server does whose
// rows don't come from its database; nil ends it.
func (o *Org) SpoilRows(spoil func(index string, row []byte) []byte) {
	o.s.locked(func() { o.spoilRow = spoil })
}

func (f searchFaults) spoil(index string, row *object) any {
	if f.spoilRow == nil {
		return row
	}
	v, err := decode(f.spoilRow(index, encode(row)))
	if err != nil {
		return nil
	}
	return v
}
