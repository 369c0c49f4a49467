package replication

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

func TestTheBrakeHolds(t *testing.T) {
	of := func(kindsAndCounts ...any) map[object.Kind]int {
		m := map[object.Kind]int{}
		for i := 0; i < len(kindsAndCounts); i += 2 {
			m[kindsAndCounts[i].(object.Kind)] = kindsAndCounts[i+1].(int)
		}
		return m
	}
	all := of(object.Role, 200, object.Cookbook, 200)
	small := of(object.Role, 60, object.DataBag, 4, object.DataBagItem, 100, object.Cookbook, 20)
	for _, c := range []struct {
		name  string
		brake Brake
		want  string // part of the reason, "" for none
	}{
		{"nothing to delete", Brake{Objects: all, FailedListing: true}, ""},
		{"20 % by default", Brake{Objects: all, Deletes: of(object.Role, 80)}, ""},
		{"more than 20 %", Brake{Objects: all, Deletes: of(object.Role, 81)}, "81 of 400 objects would be deleted within an hour; the limit is 20%, here 80"},
		{"with those of the hour", Brake{Objects: of(object.Role, 150, object.Cookbook, 200), Deleted: of(object.Role, 50), Most: of(object.Role, 200), Deletes: of(object.Role, 31)}, "81 of 400 objects"},
		{"one by one", Brake{Objects: of(object.Role, 120, object.Cookbook, 200), Deleted: of(object.Role, 80), Most: of(object.Role, 200), Deletes: of(object.Role, 1)}, "81 of 400 objects"},
		{"50 in a small organization", Brake{Objects: small, Deletes: of(object.DataBag, 2, object.DataBagItem, 40, object.Role, 8)}, ""},
		{"51 in a small organization", Brake{Objects: small, Deletes: of(object.DataBag, 2, object.DataBagItem, 41, object.Role, 8)}, "51 of 184 objects"},
		{"half of a kind", Brake{Objects: of(object.Role, 10, object.Cookbook, 900), Deletes: of(object.Role, 5)}, ""},
		{"more than half of a kind", Brake{Objects: of(object.Role, 10, object.Cookbook, 900), Deletes: of(object.Role, 6)}, "6 of 10 roles would be deleted within an hour"},
		{"more than half of a kind, one by one", Brake{Objects: of(object.Role, 5, object.Cookbook, 900), Deleted: of(object.Role, 5), Most: of(object.Role, 10), Deletes: of(object.Role, 1)}, "6 of 10 roles"},
		{"a kind that isn't touched any more", Brake{Objects: of(object.Role, 4, object.Cookbook, 900), Deleted: of(object.Role, 6), Most: of(object.Role, 10), Deletes: of(object.Cookbook, 1)}, ""},
		{"more than half of a small kind", Brake{Objects: of(object.Role, 9, object.Cookbook, 900), Deletes: of(object.Role, 8)}, ""},
		{"a kind becomes empty", Brake{Objects: of(object.Role, 3, object.Cookbook, 900), Deletes: of(object.Role, 3)}, "all 3 roles would be deleted"},
		{"the last of a kind", Brake{Objects: of(object.Role, 1, object.Cookbook, 900), Deleted: of(object.Role, 2), Most: of(object.Role, 3), Deletes: of(object.Role, 1)}, "all 3 roles"},
		{"one that comes and goes", Brake{Objects: of(object.Role, 1, object.Cookbook, 900), Deleted: of(object.Role, 9), Most: of(object.Role, 1), Deletes: of(object.Role, 1)}, ""},
		{"those that came within the hour count", Brake{Objects: of(object.Role, 60, object.Cookbook, 900), Deleted: of(object.Role, 1), Most: of(object.Role, 1), Deletes: of(object.Role, 30)}, "31 of 60 roles"},
		{"a kind of 2 becomes empty", Brake{Objects: of(object.Role, 2, object.Cookbook, 900), Deletes: of(object.Role, 2)}, ""},
		{"a kind is renamed", Brake{Objects: of(object.Role, 3, object.Cookbook, 900), Deletes: of(object.Role, 3), Creates: of(object.Role, 3)}, ""},
		{"a big bag isn't small because cookbooks are many", Brake{Objects: of(object.Cookbook, 90000, object.DataBag, 2, object.DataBagItem, 12000), Deletes: of(object.DataBag, 1, object.DataBagItem, 11000)}, "11000 of 12000 data bag items"},
		{"a big bag doesn't hide the other kinds", Brake{Objects: of(object.Cookbook, 60, object.Environment, 10, object.DataBagItem, 9000), Deletes: of(object.Cookbook, 31)}, "31 of 60 cookbooks"},
		{"the organization becomes empty", Brake{Objects: of(object.Role, 1, object.Cookbook, 1), Deletes: of(object.Role, 1, object.Cookbook, 1)}, "all 2 objects of the organization"},
		{"the only object", Brake{Objects: of(object.Role, 1), Deletes: of(object.Role, 1), Limit: Limit{Percent: 100}}, "the only object"},
		{"100 % is no limit", Brake{Objects: all, Deletes: of(object.Role, 200), Limit: Limit{Percent: 100}}, ""},
		{"but of the organization", Brake{Objects: of(object.Role, 200), Deletes: of(object.Role, 200), Limit: Limit{Percent: 100}}, "all 200 objects"},
		{"100 % with a number is a limit", Brake{Objects: all, Deletes: of(object.Role, 101), Limit: Limit{Percent: 100, Count: 500}}, "101 of 200 roles"},
		{"a number", Brake{Objects: all, Deletes: of(object.Role, 5), Limit: Limit{Count: 5}}, ""},
		{"more than the number", Brake{Objects: all, Deletes: of(object.Role, 6), Limit: Limit{Count: 5}}, "6 of 400 objects would be deleted within an hour; the limit is 5, here 5"},
		{"both limits, one exceeded", Brake{Objects: all, Deletes: of(object.Role, 12), Limit: Limit{Percent: 50, Count: 10}}, "12 of 400"},
		{"exactly what was approved", Brake{Objects: all, Deletes: of(object.Role, 200), Allowance: 200}, ""},
		{"more than was approved", Brake{Objects: all, Deletes: of(object.Role, 200), Allowance: 199}, "the approval was for 199"},
		{"approved, an emptied organization", Brake{Objects: of(object.Role, 3), Deletes: of(object.Role, 3), Allowance: 3}, ""},
		{"one listing failed", Brake{Objects: all, Deletes: of(object.Role, 1), FailedListing: true}, "1 deletion is due, but not all listings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.brake.Check(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
}

// A deletion counts for an hour, whenever others are made, and the share is of what
// there was within it.
func TestADeletionCountsForAnHour(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var none *Deletions
	d := none.countingAt(start).addOne(roleNamed(1), 7)
	d = d.countingAt(start.Add(30*time.Minute)).addOne(roleNamed(2), 6)
	d = d.countingAt(start.Add(59*time.Minute)).addOne(roleNamed(3), 5)
	for _, c := range []struct {
		after            time.Duration
		deleted, hadMost int
	}{
		{59 * time.Minute, 3, 7},
		{time.Hour, 3, 7},
		{70 * time.Minute, 2, 6},
		{90 * time.Minute, 2, 6}, // the second is an hour old
		{100 * time.Minute, 1, 5},
		{2 * time.Hour, 0, 0},
		{-time.Hour, 3, 7}, // by a clock that was ahead
	} {
		deleted, most := d.countingAt(start.Add(c.after)).totals(noneDue)
		if deleted[object.Role] != c.deleted || most[object.Role] != c.hadMost {
			t.Errorf("after %s: %d deleted of %d, want %d of %d", c.after, deleted[object.Role], most[object.Role], c.deleted, c.hadMost)
		}
	}
	if deleted, _ := d.totals(noneDue); deleted[object.Role] != 3 {
		t.Errorf("%+v was changed", d)
	}
}

func roleNamed(i int) object.Ref { return object.Ref{Kind: object.Role, Name: strconv.Itoa(i)} }

func noneDue(object.Ref) bool { return false }

// An object that is deleted again counts once, from its last deletion on.
func TestAnObjectThatIsDeletedAgainCountsOnce(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var none *Deletions
	first := none.countingAt(start).addOne(roleNamed(1), 2)
	d := first.countingAt(start.Add(5*time.Minute)).addOne(roleNamed(1), 2)
	d = d.countingAt(start.Add(40*time.Minute)).addOne(roleNamed(2), 2)
	d = d.countingAt(start.Add(50*time.Minute)).addOne(roleNamed(1), 1)
	for after, want := range map[time.Duration]int{50 * time.Minute: 2, 105 * time.Minute: 2, 2 * time.Hour: 0} {
		if deleted, _ := d.countingAt(start.Add(after)).totals(noneDue); deleted[object.Role] != want {
			t.Errorf("after %s: %d deleted, want %d", after, deleted[object.Role], want)
		}
	}
	if deleted, _ := d.totals(func(r object.Ref) bool { return r == roleNamed(1) }); deleted[object.Role] != 1 {
		t.Errorf("%d deleted beside the one that is due, want 1", deleted[object.Role])
	}
	if deleted, _ := first.totals(noneDue); deleted[object.Role] != 1 || len(first.Spans[0].Objects) != 1 {
		t.Errorf("%+v was changed", first)
	}
}

// However many objects are deleted, the record has room for them.
func TestTheNamesOfDeletedObjectsAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var d *Deletions
	for i := range 5000 {
		d = d.countingAt(now).addOne(roleNamed(i), 5000)
	}
	if deleted, _ := d.totals(noneDue); deleted[object.Role] != 5000 || len(d.Spans[0].Objects) != brakeNames {
		t.Errorf("%d deleted, %d names", deleted[object.Role], len(d.Spans[0].Objects))
	}
}

// However deletions are spread, no hour sees more objects deleted than one limit.
func TestNoHourHasTwoBudgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		names := rapid.SampledFrom([]int{60, 1000}).Draw(t, "names")
		var d *Deletions
		var made []time.Time
		var what []object.Ref
		for range rapid.IntRange(1, 400).Draw(t, "deletions") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "seconds")) * time.Second)
			r := roleNamed(rapid.IntRange(1, names).Draw(t, "role"))
			deleted, most := d.countingAt(now).totals(func(x object.Ref) bool { return x == r })
			b := Brake{Objects: map[object.Kind]int{object.Role: 1000}, Deletes: map[object.Kind]int{object.Role: 1}, Deleted: deleted, Most: most, Limit: Limit{Count: 50}}
			if b.Check() != "" {
				continue
			}
			d = d.countingAt(now).addOne(r, 1000)
			made, what = append(made, now), append(what, r)
		}
		for i := range made {
			gone := map[object.Ref]bool{}
			for j := i; j < len(made) && made[j].Sub(made[i]) < time.Hour; j++ {
				gone[what[j]] = true
			}
			if len(gone) > 50 {
				t.Fatalf("%d objects deleted within an hour", len(gone))
			}
		}
	})
}
