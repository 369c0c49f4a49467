package replicationtest

import (
	"crypto/md5"
	"encoding/hex"
	"slices"
)

// Mislay deletes the stored content of a file, like a file store that is restored from an
// older backup.
func (o *Org) Mislay(content string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := md5.Sum([]byte(content))
	delete(o.files, hex.EncodeToString(sum[:]))
}

// Corrupt changes the stored content of a file, like a damaged disk.
func (o *Org) Corrupt(content string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := md5.Sum([]byte(content))
	o.files[hex.EncodeToString(sum[:])] = []byte(content + "!")
}

// Broken returns the cookbook versions of which a file is missing or damaged.
func (o *Org) Broken() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var broken []string
	for r, obj := range o.objects {
		for _, f := range obj.Files {
			content, stored := o.files[f.Checksum]
			if sum := md5.Sum(content); !stored || hex.EncodeToString(sum[:]) != f.Checksum {
				broken = append(broken, r.Path())
				break
			}
		}
	}
	slices.Sort(broken)
	return broken
}
