package stagetest

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"runtime"
	"testing"

	"chefsync/pkg/replication"
)

const (
	largeSize  = 20 << 20 // bytes of content
	largeLimit = 8 << 20  // bytes of live memory that streaming it may take
)

// pattern is content of a length, and watches the memory while it is read.
type pattern struct {
	left, read int64
	memory     *memory
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.left))
	for i := range n {
		b[i] = byte((p.read + int64(i)) * 131 >> 7)
	}
	p.left -= int64(n)
	p.read += int64(n)
	p.memory.watch(n)
	return n, nil
}

// memory remembers the most live memory seen, once for each MiB that passes.
type memory struct {
	passed     int
	base, peak uint64
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (m *memory) watch(n int) {
	if m.passed += n; m.passed >= 1<<20 {
		m.passed = 0
		m.peak = max(m.peak, live())
	}
}

func (m *memory) check(t *testing.T, what string) {
	t.Helper()
	if m.peak == 0 {
		t.Fatalf("%s: the memory wasn't watched", what)
	}
	if m.peak > m.base+largeLimit {
		t.Errorf("%s took %d KiB of memory for %d KiB of content", what, (m.peak-m.base)>>10, largeSize>>10)
	}
}

func testLarge(t *testing.T, s replication.Stage) {
	sum := md5.New()
	if _, err := io.Copy(sum, &pattern{left: largeSize, memory: &memory{}}); err != nil {
		t.Fatal(err)
	}
	key := replication.StageKey{Space: "large", Checksum: hex.EncodeToString(sum.Sum(nil))}

	writing := &memory{base: live()}
	if err := s.Put(t.Context(), key, &pattern{left: largeSize, memory: writing}, largeSize); err != nil {
		t.Fatal(err)
	}
	writing.check(t, "Put")

	reading := &memory{base: live()}
	r, size, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	again, buf := md5.New(), make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = r.Read(buf)
		again.Write(buf[:n])
		reading.watch(n)
	}
	if err != io.EOF || size != largeSize || hex.EncodeToString(again.Sum(nil)) != key.Checksum {
		t.Errorf("reading back: size %d, %v", size, err)
	}
	reading.check(t, "Open")
}
