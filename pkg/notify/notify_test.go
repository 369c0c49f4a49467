package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/notify"
)

// TestAnHourWithoutFaultsTellsNothing: nothing is told, and nothing is written.
func TestAnHourWithoutFaultsTellsNothing(t *testing.T) {
	w := newWorld(40, "eu", "us", "ap")
	w.minutes(60)
	w.check(t)
	if w.store.saves != 0 {
		t.Errorf("the state was saved %d times", w.store.saves)
	}
}

// TestEachFaultIsToldOnceAndItsEndOnce, whatever its class.
func TestEachFaultIsToldOnceAndItsEndOnce(t *testing.T) {
	pair := func(w *world) *trouble { return w.trouble["eu/team-02"] }
	for name, c := range map[string]struct {
		set            func(w *world, on bool)
		began, resumed string
	}{
		"held":      {func(w *world, on bool) { pair(w).held = on }, "eu/team-02 is held", "eu/team-02 is no longer held"},
		"blocked":   {func(w *world, on bool) { pair(w).denied = on }, "eu/team-02 is blocked", "eu/team-02 is no longer blocked"},
		"drifted":   {func(w *world, on bool) { pair(w).drifted = on }, "eu/team-02 is drifted", "eu/team-02 is no longer drifted"},
		"stale":     {func(w *world, on bool) { pair(w).stuck = on }, "eu/team-02 is stale", "eu/team-02 is no longer stale"},
		"no scans":  {func(w *world, on bool) { w.noScans = on }, "6 pairs are stale", "6 pairs are no longer stale"},
		"replica":   {func(w *world, on bool) { w.down["eu"] = on }, "server eu is unreachable: 3 pairs aren't replicated", "server eu is reachable again"},
		"primary":   {func(w *world, on bool) { w.down["primary"] = on }, "the primary is unreachable: 6 pairs aren't replicated", "the primary is reachable again"},
		"retrying":  {func(w *world, on bool) { pair(w).transient = on }, "", ""},
		"unsynced":  {func(w *world, on bool) { pair(w).unsynced = on }, "", ""},
		"stopped":   {func(w *world, on bool) { pair(w).stopped = on }, "", ""},
		"not known": {func(w *world, on bool) { pair(w).unknown = on }, "", ""},
		"unchecked": {func(w *world, on bool) { w.silent["eu"] = on }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(3, "eu", "us")
			w.minutes(5)
			c.set(w, true)
			w.minutes(30)
			if c.began == "" {
				w.check(t)
			} else {
				w.check(t, c.began)
			}
			c.set(w, false)
			w.minutes(30)
			if c.began == "" {
				w.check(t)
			} else {
				w.check(t, c.began, c.resumed)
			}
			if left := w.store.state; len(left.Conditions)+len(left.Channels) != 0 {
				t.Errorf("the state keeps %+v", left)
			}
		})
	}
}

// TestFortyPairsOfADeadServerAreOneMessage, although some of them fail before the server
// counts as down, and after it responds again.
func TestFortyPairsOfADeadServerAreOneMessage(t *testing.T) {
	w := newWorld(40, "eu", "us")
	w.down["eu"], w.silent["eu"] = true, true
	w.minutes(2)
	w.silent["eu"] = false
	w.minutes(60)
	w.check(t, "server eu is unreachable: 40 pairs aren't replicated")
	m := w.receiver.messages[0]
	if m.PairCount != 40 || len(m.Items) != 41 || m.Server != "eu" || m.Event != "unreachable" || m.State != notify.StateFiring {
		t.Errorf("%+v", m)
	}
	want := "no route to host\nPairs: eu/team-01, eu/team-02, eu/team-03, eu/team-04, eu/team-05, eu/team-06, eu/team-07, eu/team-08, eu/team-09, " +
		"eu/team-10 and 30 more\nTry: check the network"
	if m.Text != want {
		t.Errorf("%s\nwant\n%s", m.Text, want)
	}
	w.down["eu"] = false
	for _, id := range w.ids()[:20] {
		w.trouble[id.String()].stuck = true // its next pass comes late
	}
	w.minutes(3)
	for _, id := range w.ids()[:20] {
		w.trouble[id.String()].stuck = false
	}
	w.minutes(20)
	w.check(t, "server eu is unreachable: 40 pairs aren't replicated", "server eu is reachable again")
}

// TestPairsOfOneStatusAreOneMessage that lists the first of them.
func TestPairsOfOneStatusAreOneMessage(t *testing.T) {
	w := newWorld(60, "eu")
	for _, tr := range w.trouble {
		tr.held = true
	}
	w.minutes(10)
	w.check(t, "60 pairs are held")
	m := w.receiver.messages[0]
	lines := strings.Split(m.Text, "\n")
	if m.PairCount != 60 || len(m.Items) != 50 || len(lines) != 11 || lines[10] != "and 50 more" ||
		lines[0] != "eu/team-01: 9 deletions wait for approval: 9 of 10 roles" {
		t.Errorf("%d pairs, %d items, text:\n%s", m.PairCount, len(m.Items), m.Text)
	}
}

func TestWhatDoesNotLastIsNotTold(t *testing.T) {
	t.Run("a short fault", func(t *testing.T) {
		w := newWorld(2, "eu")
		w.trouble["eu/team-01"].held = true
		w.minutes(5) // seen for four minutes
		w.trouble["eu/team-01"].held = false
		w.minutes(20)
		w.check(t)
	})
	t.Run("flapping", func(t *testing.T) {
		w := newWorld(2, "eu")
		for i := range 60 {
			w.trouble["eu/team-01"].held = i%2 == 0
			w.minute()
		}
		w.check(t)
	})
	t.Run("a short recovery", func(t *testing.T) {
		w := newWorld(2, "eu")
		w.down["eu"] = true
		w.minutes(10)
		for range 10 {
			w.down["eu"] = false
			w.minutes(3)
			w.down["eu"] = true
			w.minutes(3)
		}
		w.check(t, "server eu is unreachable: 2 pairs aren't replicated")
	})
	t.Run("what a dead server hides", func(t *testing.T) {
		w := newWorld(2, "eu")
		w.trouble["eu/team-01"].denied = true
		w.minutes(10)
		w.down["eu"] = true // the error of the pair is another one now
		w.minutes(30)
		w.down["eu"] = false
		w.minutes(10)
		w.trouble["eu/team-01"].denied = false
		w.minutes(10)
		w.check(t, "eu/team-01 is blocked", "server eu is unreachable: 2 pairs aren't replicated", "server eu is reachable again",
			"eu/team-01 is no longer blocked")
	})
	t.Run("time without evaluations", func(t *testing.T) {
		w := newWorld(2, "eu")
		w.trouble["eu/team-01"].stuck, w.trouble["eu/team-02"].stuck = true, true
		w.minutes(5) // stale for two minutes, when the machine is shut down
		w.now = w.now.Add(time.Hour)
		w.restart()
		w.minutes(2)
		w.trouble["eu/team-01"].stuck, w.trouble["eu/team-02"].stuck = false, false
		w.minutes(20)
		w.check(t)
	})
}

// TestAServerOfStoppedPairsIsNotTold: nobody uses it.
func TestAServerOfStoppedPairsIsNotTold(t *testing.T) {
	w := newWorld(2, "eu", "us")
	w.down["eu"] = true
	w.minutes(10)
	for _, org := range w.orgs {
		w.trouble["eu/"+org].stopped = true
	}
	w.minutes(10)
	w.down["eu"] = false
	w.minutes(10)
	w.down["eu"] = true
	w.minutes(10)
	w.check(t, "server eu is unreachable: 2 pairs aren't replicated", "server eu is no longer used")
}

// TestTheEndOfAConditionSaysHowThePairIs.
func TestTheEndOfAConditionSaysHowThePairIs(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *world, tr *trouble)
		text string
	}{
		"in sync": {func(_ *world, tr *trouble) { *tr = trouble{} }, "now synced"},
		"stopped": {func(_ *world, tr *trouble) { tr.stopped = true }, "now stopped: stopped by the operator\nTry: chef-sync-ctl sync-start eu/team-01"},
		"removed": {func(w *world, _ *trouble) { w.removed["eu/team-01"] = true }, "it is no longer configured"},
		"another": {func(_ *world, tr *trouble) { *tr = trouble{transient: true} }, "now retrying: 503\nTry: look"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(2, "eu")
			tr := w.trouble["eu/team-01"]
			tr.held = true
			w.minutes(10)
			c.end(w, tr)
			w.minutes(10)
			w.check(t, "eu/team-01 is held", "eu/team-01 is no longer held")
			if got := w.receiver.messages[1].Text; got != c.text {
				t.Errorf("%q, want %q", got, c.text)
			}
		})
	}
}

// TestARestartRepeatsAndLosesNothing, at whatever minute.
func TestARestartRepeatsAndLosesNothing(t *testing.T) {
	for at := range 30 {
		w := newWorld(40, "eu", "us")
		w.minutes(2)
		w.down["eu"], w.trouble["us/team-07"].held = true, true
		for i := range 15 {
			if i == at {
				w.restart()
			}
			w.minute()
		}
		w.down["eu"], w.trouble["us/team-07"].held = false, false
		for i := range 15 {
			if i+15 == at {
				w.restart()
			}
			w.minute()
		}
		w.check(t, "server eu is unreachable: 40 pairs aren't replicated", "us/team-07 is held", "server eu is reachable again",
			"us/team-07 is no longer held")
		if t.Failed() {
			t.Fatalf("with a restart in minute %d", at)
		}
	}
}

// TestACrashRepeatsAtMostOneMessage, at whatever write of the state, and loses none.
func TestACrashRepeatsAtMostOneMessage(t *testing.T) {
	want := []string{"server eu is unreachable: 4 pairs aren't replicated", "us/team-02 is held", "server eu is reachable again", "us/team-02 is no longer held"}
	repeated := 0
	for save := 1; ; save++ {
		w := newWorld(4, "eu", "us")
		w.store.crashIn = save
		w.down["eu"], w.trouble["us/team-02"].held = true, true
		w.minutes(20)
		w.down["eu"], w.trouble["us/team-02"].held = false, false
		w.minutes(20)
		if w.store.crashIn > 0 { // it has saved less often
			w.check(t, want...)
			break
		}
		if len(w.errs) != 1 || !errors.Is(w.errs[0], errCrash) {
			t.Fatalf("save %d: %v", save, w.errs)
		}
		got := w.receiver.titles()
		ids := map[string]int{}
		for _, m := range w.receiver.messages {
			ids[m.ID]++
		}
		if once := slices.Compact(slices.Clone(got)); !slices.Equal(once, want) || len(got) > len(want)+1 || len(ids) != len(want) {
			t.Errorf("a crash at save %d: %q, with %d ids", save, got, len(ids))
		}
		repeated += len(got) - len(want)
	}
	if repeated != len(want) {
		t.Errorf("%d messages were repeated in all, want one for a crash after each delivery", repeated)
	}
}

// TestTheEndIsToldWhereTheBeginningMayHaveBeen: the process was killed before it could
// record the delivery.
func TestTheEndIsToldWhereTheBeginningMayHaveBeen(t *testing.T) {
	w := newWorld(2, "eu")
	w.notifier.Channels[0].Send = func(ctx context.Context, m notify.Message) error {
		w.store.crashIn = 1
		return w.receiver.send(ctx, m)
	}
	w.trouble["eu/team-01"].held = true
	w.minutes(6)
	if len(w.errs) != 1 || !errors.Is(w.errs[0], errCrash) {
		t.Fatal(w.errs)
	}
	w.errs = nil
	w.restart()
	w.trouble["eu/team-01"].held, w.receiver.down = false, true
	w.minutes(10)
	w.receiver.down = false
	w.minutes(20)
	w.check(t, "eu/team-01 is held", "eu/team-01 is no longer held")
}

// TestTheBeginningIsToldWhereTheEndMayHaveBeen, likewise.
func TestTheBeginningIsToldWhereTheEndMayHaveBeen(t *testing.T) {
	w := newWorld(2, "eu")
	w.trouble["eu/team-01"].held = true
	w.minutes(10)
	w.notifier.Channels[0].Send = func(ctx context.Context, m notify.Message) error {
		w.store.crashIn = 1
		return w.receiver.send(ctx, m)
	}
	w.trouble["eu/team-01"].held = false
	w.minutes(6)
	if len(w.errs) != 1 || !errors.Is(w.errs[0], errCrash) {
		t.Fatal(w.errs)
	}
	w.errs = nil
	w.restart()
	w.trouble["eu/team-01"].held, w.receiver.down = true, true
	w.minutes(10)
	w.receiver.down = false
	w.minutes(20)
	w.check(t, "eu/team-01 is held", "eu/team-01 is no longer held", "eu/team-01 is held")
}

// TestWhatIsNotKnownStaysAsItWasTold.
func TestWhatIsNotKnownStaysAsItWasTold(t *testing.T) {
	w := newWorld(2, "eu", "us")
	w.trouble["us/team-01"].held, w.down["eu"] = true, true
	w.minutes(10)
	want := []string{"server eu is unreachable: 2 pairs aren't replicated", "us/team-01 is held"}
	w.trouble["us/team-01"].unknown, w.silent["eu"] = true, true
	w.minutes(30)
	w.check(t, want...)
	w.trouble["us/team-01"].unknown, w.silent["eu"] = false, false
	w.minutes(10)
	w.check(t, want...)
	w.trouble["us/team-01"].held, w.down["eu"] = false, false
	w.minutes(10)
	w.check(t, append(want, "server eu is reachable again", "us/team-01 is no longer held")...)
}

// TestDeliveryIsRetriedWithBackoff: what is true after an hour is told then, and what
// began and ended meanwhile isn't.
func TestDeliveryIsRetriedWithBackoff(t *testing.T) {
	w := newWorld(40, "eu", "us")
	w.receiver.down = true
	w.down["eu"], w.trouble["us/team-07"].held, w.trouble["us/team-08"].drifted = true, true, true
	w.minutes(30)
	w.trouble["us/team-08"].drifted = false
	w.restart()
	w.minutes(30)
	w.check(t)
	if n := len(w.receiver.refused); n < 5 || n > 8 {
		t.Errorf("%d attempts in an hour", n)
	}
	w.receiver.down = false
	w.minutes(15)
	w.check(t, "server eu is unreachable: 40 pairs aren't replicated", "us/team-07 is held")
	w.down["eu"], w.trouble["us/team-07"].held = false, false
	w.minutes(6)
	w.check(t, "server eu is unreachable: 40 pairs aren't replicated", "us/team-07 is held", "server eu is reachable again", "us/team-07 is no longer held")
}

// TestAChannelDoesNotWaitForAnother that fails, and a new one is told what is true.
func TestAChannelDoesNotWaitForAnother(t *testing.T) {
	w := newWorld(2, "eu")
	var broken, late receiver
	broken.down = true
	w.notifier.Channels = append([]notify.Channel{{Name: "broken", Send: broken.send}}, w.notifier.Channels...)
	w.trouble["eu/team-01"].held = true
	w.minutes(10)
	w.check(t, "eu/team-01 is held")
	w.restart() // with another configuration
	w.notifier.Channels = append(w.notifier.Channels, notify.Channel{Name: "late", Send: late.send})
	w.minute()
	if got := late.titles(); !slices.Equal(got, []string{"eu/team-01 is held"}) {
		t.Errorf("the new channel was told %q", got)
	}
	w.check(t, "eu/team-01 is held")
	w.trouble["eu/team-01"].held = false
	w.minutes(10)
	w.now = w.now.Add(8 * 24 * time.Hour)
	w.minutes(10)
	if left := w.store.state; len(left.Conditions)+len(left.Channels) != 0 {
		t.Errorf("the state keeps %+v", left)
	}
}

// TestTwoProcessesTellOnce: the one that saves second does nothing.
func TestTwoProcessesTellOnce(t *testing.T) {
	w := newWorld(2, "eu")
	first := w.notifier
	w.restart()
	second := w.notifier
	w.trouble["eu/team-01"].held = true
	inner := first.Channels[0].Send
	first.Channels[0].Send = func(ctx context.Context, m notify.Message) error {
		if err := second.Evaluate(ctx, w.fleet()); err != nil {
			t.Error(err)
		}
		return inner(ctx, m)
	}
	for range 10 {
		w.notifier = first
		w.minute()
	}
	w.check(t, "eu/team-01 is held")
}

// TestAClockThatWasAheadMutesNothing.
func TestAClockThatWasAheadMutesNothing(t *testing.T) {
	w := newWorld(2, "eu")
	w.now = w.now.AddDate(1, 0, 0)
	w.trouble["eu/team-01"].held, w.receiver.down = true, true
	w.minutes(10)
	w.now, w.receiver.down = noon(), false
	w.minutes(10)
	w.check(t, "eu/team-01 is held")
}

// TestMessagesAreBounded: a reason may be the long answer of a server.
func TestMessagesAreBounded(t *testing.T) {
	w := newWorld(300, "eu")
	for _, tr := range w.trouble {
		tr.denied = true
	}
	w.minutes(2)
	for _, st := range w.records {
		st.Progress.LastError.Message = strings.Repeat("ä\n", 20_000)
	}
	f := w.fleet()
	for range 10 {
		w.now = w.now.Add(time.Minute)
		if err := w.notifier.Evaluate(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	w.check(t, "300 pairs are blocked")
	data, err := json.Marshal(w.receiver.messages[0])
	if err != nil || len(data) > 64<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// TestTheStateOfThousandsOfPairsIsSmall: hundreds of pairs share their history.
func TestTheStateOfThousandsOfPairsIsSmall(t *testing.T) {
	w := newWorld(1000, "eu", "us", "ap", "sa", "af", "oc")
	w.noScans = true
	for i, tr := range w.trouble {
		tr.held = strings.HasSuffix(i, "7")
	}
	w.minutes(15)
	data, err := json.Marshal(w.store.state)
	if err != nil || len(data) > 200_000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	w.check(t, "600 pairs are held", "6000 pairs are stale")
}
