package assembly

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestChild waits until its standard input ends. Other tests start it as a process.
func TestChild(t *testing.T) {
	if os.Getenv("CHEF_SYNC_TEST_CHILD") == "" {
		t.Skip("SKIPPED: it is the child process of another test, which runs it")
	}
	fmt.Println(NewOwner())
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestOwnerDied(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), "CHEF_SYNC_TEST_CHILD=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var owner string
	if _, err := fmt.Fscanln(out, &owner); err != nil {
		t.Fatal(err)
	}
	if OwnerDied(owner) || OwnerDied(NewOwner()) {
		t.Error("a process that runs is known to be dead")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if !OwnerDied(owner) {
		t.Errorf("%s isn't known to be dead", owner)
	}
}

// An owner of another machine, boot or PID namespace is unknown, and so not dead.
func TestOwnersOfOtherMachinesAreNotDead(t *testing.T) {
	me := strings.Split(NewOwner(), ":")
	me = me[len(me)-5:]
	if len(me) != 5 || me[3] == "" || me[4] == "" {
		t.Fatalf("owner %q", me)
	}
	with := func(i int, word string) string {
		words := append([]string{}, me...)
		words[i] = word
		return strings.Join(words, ":")
	}
	for owner, want := range map[string]bool{
		"":                      false,
		"vm:999:abc":            false, // of an older version
		with(1, "x"):            false,
		with(1, "-1"):           false,
		with(3, "0123456789ab"): false, // another boot, or container
		with(3, ""):             false,
		with(0, "renamed"):      false, // the host may be renamed, the process lives
		with(4, "1"):            true,  // another process has the id now
		with(1, "4194304"):      true,  // no process can have it
		strings.Join(me, ":"):   false,
	} {
		if got := OwnerDied(owner); got != want {
			t.Errorf("OwnerDied(%q) = %v, want %v", owner, got, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	for stat, want := range map[string]struct {
		start string
		state processState
	}{
		"7 (chef-sync-ctl) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 9 0 12345 0 0": {"12345", processRuns},
		"7 (a) R) (b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 9 0 12345 0 0":      {"12345", processRuns},
		"7 (dead) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 9 0 12345 0 0":          {"", processGone},
		"7 (cut off) S 1 7": {"", processUnknown},
		"":                  {"", processUnknown},
	} {
		if start, state := parseStat(stat); start != want.start || state != want.state {
			t.Errorf("%q: %q, %v; want %+v", stat, start, state, want)
		}
	}
}
