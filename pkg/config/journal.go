package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// Journal says how the journal of a primary without updated_since is kept, fed
// and served.
type Journal struct {
	ScanEvery time.Duration // between the starts of two scans of an organization
	Rotation  time.Duration // within which each frozen cookbook version is read again
	Keep      time.Duration // how long rows are kept
	// Listen is the address of the data collector's receiver and of updated_since
	// on one machine, "" for no HTTP.
	Listen string
	// Token refers to what data_collector['token'] holds; without it pushes are
	// refused.
	Token KeyRef
	// TLSCert and TLSKey are PEM files; both or none.
	TLSCert, TLSKey string
	// Readers are the names that may read updated_since; none means every member.
	Readers []string
	// Keys are the readers' public keys by name. With any, the primary isn't asked
	// for keys.
	Keys map[string]KeyRef
}

// The defaults of the journal.
const (
	defaultScanEvery = time.Minute
	defaultRotation  = day
	defaultKeep      = 30 * day
	leastKeep        = time.Hour // a reader that was away for less goes on where it was
)

func (s *section) journal() Journal {
	j := Journal{
		ScanEvery: s.duration("scan_every", defaultScanEvery, leastInterval, ""),
		Rotation:  s.duration("rotation", defaultRotation, leastInterval, ""),
		Keep:      s.duration("keep", defaultKeep, leastKeep, ""),
		Listen:    s.address("listen"),
		Token:     s.optionalRef("token"),
		TLSCert:   s.optionalPath("tls_cert"),
		TLSKey:    s.optionalPath("tls_key"),
	}
	if (j.TLSCert == "") != (j.TLSKey == "") {
		given, other := "tls_cert", "tls_key"
		if j.TLSCert == "" {
			given, other = other, given
		}
		s.bad(given, "write "+other+" too, or neither", "is of no use without %s", other)
	}
	readers, given := s.texts("readers")
	j.Readers = readers
	s.effective("readers", fmt.Sprintf("%q", readers), given)
	j.Keys = s.publicKeys()
	s.done(map[string]string{"every": "scan_every", "interval": "scan_every", "retention": "keep", "retain": "keep", "port": "listen",
		"address": "listen", "data_collector_token": "token", "cert": "tls_cert", "key": "tls_key", "users": "readers", "clients": "readers"})
	return j
}

// knowsCallers reports whether the configuration names somebody who may push or
// read from outside.
func (j Journal) knowsCallers() bool {
	return !j.Token.IsZero() || len(j.Readers) > 0 || len(j.Keys) > 0
}

// address reads HOST:PORT; "" is none.
func (s *section) address(key string) string {
	value, given := s.text(key)
	if value != "" {
		_, port, err := net.SplitHostPort(value)
		if err != nil || port == "" {
			s.bad(key, fmt.Sprintf(`write an address and a port, such as %s = ":9996" or "127.0.0.1:9996"`, key), "%q can't be listened on", value)
		}
	}
	s.effective(key, value, given)
	return value
}

// optionalRef reads a reference that may be missing.
func (s *section) optionalRef(key string) (r KeyRef) {
	text, given := s.text(key)
	if given {
		r = s.keyRef(key, text)
	}
	s.effective(key, r.String(), given)
	return r
}

// optionalPath reads the path of a file that may be missing.
func (s *section) optionalPath(key string) string {
	value, given := s.text(key)
	switch {
	case given && value == "":
		s.bad(key, "write a path, or leave the key out", "must not be empty")
	case given:
		value = s.Loader.path(value, s.folder())
	}
	s.effective(key, value, given)
	return value
}

// publicKeys reads the table [journal.keys]: a reference for each name.
func (s *section) publicKeys() map[string]KeyRef {
	table := s.table("keys", false)
	if len(table.values) == 0 {
		return nil
	}
	keys := map[string]KeyRef{}
	for _, name := range slices.Sorted(maps.Keys(table.values)) {
		if text, ok := table.text(name); ok {
			keys[name] = table.keyRef(name, text)
			table.effective(name, keys[name].String(), true)
		}
	}
	return keys
}

// checkJournal looks at what the journal and the feed have to do with each other.
func (r *reader) checkJournal(c *Config) {
	if c.FeedURL != "" && c.Feed == "journal" {
		r.problem("primary.feed_url", `write feed = "auto" or "updated_since", or leave feed_url out`, `has no meaning with feed = "journal"`)
	}
}

// warnings says what is unwise about the journal.
func (j Journal) warnings(feed string) (list []string) {
	if w := j.Token.Warning(); w != "" {
		list = append(list, "token of the journal: "+w)
	}
	if j.Listen == "" {
		return list
	}
	if feed == "updated_since" {
		list = append(list, `journal.listen: nothing is listened on, since feed = "updated_since" needs no journal`)
	}
	host, _, err := net.SplitHostPort(j.Listen)
	if ip := net.ParseIP(host); err == nil && j.TLSCert == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		list = append(list, "journal.listen: pushed objects, data bags included, cross the network unencrypted (tls_cert, tls_key)")
	}
	return list
}
