package replication

import (
	"testing"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// What the record can't vouch for is never called drift: a repair would write it.
func TestDriftIsOnlyWhatTheRecordVouchesFor(t *testing.T) {
	web := role("web")
	held := Observation{Ref: web, Fingerprint: "b", Expect: "b", Replica: Present, ReplicaPrint: "x"}
	otherForm := held
	otherForm.Expect = "b'"
	for name, c := range map[string]struct {
		seen  Observation
		last  string
		class fault.Class // of its unsynced record, "" without one
		want  Cause
	}{
		"edited, and changed on the primary":                    {held, "a", "", CauseChanged},
		"as it was put, and changed on the primary":             {Observation{Ref: web, Fingerprint: "b", Expect: "b", Replica: Present, ReplicaPrint: "a"}, "a", "", CausePending},
		"written with unknown result":                           {held, unknownFingerprint, "", CausePending},
		"could not be applied":                                  {held, "a", fault.Rejected, CausePending},
		"never held whole, and changed on the primary":          {held, "a", fault.Degraded, CausePending},
		"held in another form, and changed on the primary":      {otherForm, "a", "", CausePending},
		"never held whole, edited and unchanged on the primary": {otherForm, "b", fault.Degraded, CauseChanged},
	} {
		l := ledger{inventory: map[object.Ref]string{web: c.last}, unsynced: map[object.Ref]Unsynced{}}
		if c.class != "" {
			l.unsynced[web] = Unsynced{Ref: web, Class: c.class}
		}
		if d := Decide(c.seen, l.entryOf(web), PruneReplicated); d.Cause != c.want {
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
		e := Entry{Replicated: rapid.Bool().Draw(t, "replicated"), Failure: rapid.SampledFrom([]fault.Class{"", fault.Rejected, fault.Degraded}).Draw(t, "failure"), Held: rapid.Bool().Draw(t, "held")}
		if e.Dirty = rapid.Bool().Draw(t, "dirty"); e.Replicated && !e.Dirty {
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
