package replication

import (
	"testing"

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
		class Class // of its unsynced record, "" without one
		want  Cause
	}{
		"edited, and changed on the primary":                    {held, "a", "", CauseChanged},
		"as it was put, and changed on the primary":             {Observation{Ref: web, Fingerprint: "b", Expect: "b", Replica: Present, ReplicaPrint: "a"}, "a", "", CausePending},
		"written with unknown result":                           {held, unknownFingerprint, "", CausePending},
		"could not be applied":                                  {held, "a", Rejected, CausePending},
		"never held whole, and changed on the primary":          {held, "a", Degraded, CausePending},
		"held in another form, and changed on the primary":      {otherForm, "a", "", CausePending},
		"never held whole, edited and unchanged on the primary": {otherForm, "b", Degraded, CauseChanged},
	} {
		f := facts{inventory: map[object.Ref]string{web: c.last}, unsynced: map[object.Ref]Unsynced{}}
		if c.class != "" {
			f.unsynced[web] = Unsynced{Ref: web, Class: c.class}
		}
		if d := f.judge(seen{Observation: c.seen}); d == nil || d.Cause != c.want {
			t.Errorf("%s: %+v, want %s", name, d, c.want)
		}
	}
}
