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

// patternReader is content of a length, and watches the memory while it is read.
type patternReader struct {
	remaining, offset int64
	memory            *memoryMeter
}

func (p *patternReader) Read(b []byte) (int, error) {
	if p.remaining == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.remaining))
	for i := range n {
		b[i] = byte((p.offset + int64(i)) * 131 >> 7)
	}
	p.remaining -= int64(n)
	p.offset += int64(n)
	p.memory.sample(n)
	return n, nil
}

// memoryMeter remembers the most live memory seen, once for each MiB that passes.
type memoryMeter struct {
	sinceSample int
	base, peak  uint64
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (m *memoryMeter) sample(n int) {
	if m.sinceSample += n; m.sinceSample >= 1<<20 {
		m.sinceSample = 0
		m.peak = max(m.peak, heapInUse())
	}
}

func (m *memoryMeter) check(t *testing.T, what string) {
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
	if _, err := io.Copy(sum, &patternReader{remaining: largeSize, memory: &memoryMeter{}}); err != nil {
		t.Fatal(err)
	}
	key := replication.StageKey{Space: "large", Checksum: hex.EncodeToString(sum.Sum(nil))}

	writing := &memoryMeter{base: heapInUse()}
	if err := s.Put(t.Context(), key, &patternReader{remaining: largeSize, memory: writing}, largeSize); err != nil {
		t.Fatal(err)
	}
	writing.check(t, "Put")

	reading := &memoryMeter{base: heapInUse()}
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
		reading.sample(n)
	}
	if err != io.EOF || size != largeSize || hex.EncodeToString(again.Sum(nil)) != key.Checksum {
		t.Errorf("reading back: size %d, %v", size, err)
	}
	reading.check(t, "Open")
}
