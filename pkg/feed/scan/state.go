package scan

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// stateVersion is the version of the blob that this program writes.
const stateVersion = 1

// maxStateSize limits the size of the uncompressed blob: about four million objects.
const maxStateSize = 1 << 29

// state is what a scanner knows of an organization.
type state struct {
	Version int `json:"version"`
	// RotatedTo is the time until which frozen versions that were due have been read.
	RotatedTo time.Time `json:"swept,omitzero"`
	// Listed are the kinds whose lists were read at least once since the change log
	// began.
	Listed  map[object.Kind]bool       `json:"listed"`
	Objects map[object.Ref]objectState `json:"objects"`
}

// hasListed reports whether the list of a scope was read when the change log began or
// later. The items of a new data bag are all new.
func (m *state) hasListed(s object.Scope) bool {
	if s.Kind.Parent() == "" {
		return m.Listed[s.Kind]
	}
	bag, had := m.Objects[object.Ref(s).Parent()]
	return bag.Listed || !had && m.Listed[s.Kind.Parent()]
}

// objectState is what a scanner knows of one object.
type objectState struct {
	// Fingerprint is "" while it isn't known, and "-" for an object of which only the
	// name is compared.
	Fingerprint string `json:"f,omitempty"`
	// Revision, of a policy in a policy group, is the one that Fingerprint belongs to.
	Revision string `json:"r,omitempty"`
	// Frozen reports whether a cookbook version is frozen: it is then read by rotation.
	Frozen bool `json:"z,omitempty"`
	// Due reports whether it could not be read when its time in the rotation had come.
	Due bool `json:"d,omitempty"`
	// Missing reports whether the last successful scan didn't list it.
	Missing bool `json:"m,omitempty"`
	// Listed reports, for a data bag, whether its items were listed at least once.
	Listed bool `json:"l,omitempty"`
}

// nameOnly is the fingerprint of objects of which only the name is compared.
const nameOnly = "-"

func newState() *state {
	return &state{Version: stateVersion, Listed: map[object.Kind]bool{}, Objects: map[object.Ref]objectState{}}
}

func (m *state) clone() *state {
	c := *m
	c.Listed, c.Objects = maps.Clone(m.Listed), maps.Clone(m.Objects)
	return &c
}

// errDamagedState means that the blob can't be decoded.
var errDamagedState = errors.New("the scan state is damaged")

// encode returns the state as JSON. The bytes of an unchanged object are the same as
// before, so that the store writes only the parts that changed.
func (m *state) encode() ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the scan state: %w", err)
	}
	return text, nil
}

// decodeState reads a blob. It returns errDamagedState, wrapped, for one that is
// damaged, and replication.ErrSchema for one that a newer version wrote.
func decodeState(blob []byte) (*state, error) {
	text, err := uncompress(blob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamagedState, err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamagedState, err)
	}
	if head.Version > stateVersion {
		return nil, &fault.Error{Op: "read the scan state", Class: fault.Local, Hint: "install the newer version again",
			Err: fmt.Errorf("%w: the state has version %d, this program knows %d", replication.ErrSchema, head.Version, stateVersion)}
	}
	m := newState()
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamagedState, err)
	}
	if head.Version < 1 || m.Listed == nil || m.Objects == nil {
		return nil, fmt.Errorf("%w: it isn't a scan state", errDamagedState)
	}
	m.splitRevisions()
	return m, nil
}

// uncompress returns the JSON of a blob, which the previous version compressed.
func uncompress(blob []byte) ([]byte, error) {
	if !bytes.HasPrefix(blob, []byte{0x1f, 0x8b}) {
		return blob, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxStateSize))
}

// splitRevisions converts policies in policy groups from the format of earlier versions,
// which kept only their revision. The next scan reads them.
func (m *state) splitRevisions() {
	for ref, k := range m.Objects {
		if ref.Kind.Binds() != "" && k.Revision == "" && k.Fingerprint != "" {
			k.Revision, k.Fingerprint = k.Fingerprint, ""
			m.Objects[ref] = k
		}
	}
}
