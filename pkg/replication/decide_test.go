package replication

import (
	"testing"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
)

// What the record can't vouch for is never called drift: a repair would write it.
func TestDriftIsOnlyWhatTheRecordVouchesFor(t *testing.T) {
	web := role("web")
	held := Observation{Ref: web, Fingerprint: "b", Expect: "b", Replica: Present, ReplicaPrint: "x"}
	otherForm := held
	otherForm.Expect = "b'"
	for name, c := range map[string]struct {
		seen  Observation
		last  string      // "" means dirty
		class fault.Class // of its unsynced record, "" without one
		want  Cause
	}{
		"edited, and changed on the primary":                    {held, "a", "", CauseChanged},
		"as it was put, and changed on the primary":             {Observation{Ref: web, Fingerprint: "b", Expect: "b", Replica: Present, ReplicaPrint: "a"}, "a", "", CausePending},
		"written with unknown result":                           {held, "", "", CausePending},
		"could not be applied":                                  {held, "a", fault.Rejected, CausePending},
		"never held whole, and changed on the primary":          {held, "a", fault.Degraded, CausePending},
		"held in another form, and changed on the primary":      {otherForm, "a", "", CausePending},
		"never held whole, edited and unchanged on the primary": {otherForm, "b", fault.Degraded, CauseChanged},
	} {
		e := Entry{Fingerprint: c.last, Dirty: c.last == ""}
		if c.class != "" {
			e.Failure = &Unsynced{Ref: web, Class: c.class}
		}
		if d := Decide(c.seen, e, PruneReplicated); d.Cause != c.want {
			t.Errorf("%s: %+v, want %s", name, d, c.want)
		}
	}
}

// What is written makes a difference go away, and what is left alone differs in
// nothing: else a plan and a report would contradict each other.
func TestWhatIsWrittenDiffersAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prints := rapid.SampledFrom([]string{"a", "b"})
		o := Observation{Ref: role("web"), Absent: rapid.Bool().Draw(t, "absent"), Replica: rapid.SampledFrom([]Presence{Unknown, Missing, Present}).Draw(t, "replica")}
		if o.Fingerprint = prints.Draw(t, "fingerprint"); o.Absent {
			o.Fingerprint = ""
		}
		if o.Expect = o.Fingerprint; o.Replica == Present && rapid.Bool().Draw(t, "read") {
			o.ReplicaPrint = prints.Draw(t, "replica print")
		}
		var e Entry
		if class := rapid.SampledFrom([]fault.Class{"", fault.Rejected, fault.Degraded, fault.DeletionHeld}).Draw(t, "failure"); class != "" {
			e.Failure = &Unsynced{Class: class}
		}
		if e.Dirty = rapid.Bool().Draw(t, "dirty"); !e.Dirty && rapid.Bool().Draw(t, "replicated") {
			e.Fingerprint = prints.Draw(t, "last")
		}
		prune := rapid.SampledFrom([]Prune{PruneReplicated, PruneAll, PruneNone}).Draw(t, "prune")
		d := Decide(o, e, prune)
		writes := d.Action == ActionCreate || d.Action == ActionUpdate
		switch {
		case d.Reason == "" || d.Ref != o.Ref:
			t.Errorf("%+v", d)
		case d.Action == ActionDelete && (!o.Absent || prune == PruneNone), writes && o.Absent:
			t.Errorf("%+v of %+v", d, o)
		case !o.Absent && writes != (d.Cause != ""), d.Action == ActionSkip && d.Cause != "":
			t.Errorf("%+v and %+v: %+v", o, e, d)
		case d.Action == ActionSkip && !o.Absent && o.ReplicaPrint != "" && o.ReplicaPrint != o.Expect:
			t.Errorf("%+v is left alone", o)
		}
	})
}
