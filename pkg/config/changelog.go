package config

import (
	"fmt"
	"time"
)

// ChangeLog is the [journal] table: how the change log of a primary without updated_since
// is kept, filled and served.
type ChangeLog struct {
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

// The defaults of the change log.
const (
	defaultScanEvery = time.Minute
	defaultRotation  = day
	defaultKeep      = 30 * day
	minKeep          = time.Hour // readers that were away for less can continue
)

func (s *section) readChangeLog() ChangeLog {
	j := ChangeLog{
		ScanEvery: s.durationValue("scan_every", defaultScanEvery, minInterval),
		Rotation:  s.durationValue("rotation", defaultRotation, minInterval),
		Keep:      s.durationValue("keep", defaultKeep, minKeep),
		Listen:    s.addressValue("listen", "9996"),
		Token:     s.refValue("token"),
		TLSCert:   s.pathValue("tls_cert", ""),
		TLSKey:    s.pathValue("tls_key", ""),
	}
	if (j.TLSCert == "") != (j.TLSKey == "") {
		given, other := "tls_cert", "tls_key"
		if j.TLSCert == "" {
			given, other = other, given
		}
		s.badValue(given, "write "+other+" too, or neither", "has no effect without %s", other)
	}
	readers, given := s.stringList("readers")
	j.Readers = readers
	s.recordSetting("readers", fmt.Sprintf("%q", readers), given)
	j.Keys = s.readPublicKeys()
	s.reportUnknownKeys(map[string]string{"every": "scan_every", "interval": "scan_every", "retention": "keep", "retain": "keep",
		"port":    "listen",
		"address": "listen", "data_collector_token": "token", "cert": "tls_cert", "key": "tls_key", "users": "readers", "clients": "readers"})
	return j
}

// identifiesCallers reports whether the configuration names callers that may push or
// read from outside.
func (j ChangeLog) identifiesCallers() bool {
	return !j.Token.IsZero() || len(j.Readers) > 0 || len(j.Keys) > 0
}

// readPublicKeys reads the table [journal.keys]: a reference for each name.
func (s *section) readPublicKeys() map[string]KeyRef {
	table := s.subTable("keys", false)
	table.recordForm(anyName, formReference)
	return readTable(table, formReference, func(_, text string) (KeyRef, error) { return s.parseRef(text) }, KeyRef.String)
}

// checkChangeLog checks that [journal] and feed agree.
func (r *reader) checkChangeLog(c *Config) {
	if c.FeedURL != "" && c.Feed == FeedChangeLog {
		r.addProblem("primary.feed_url", `write feed = "auto" or "updated_since", or leave feed_url out`, `has no meaning with feed = "journal"`)
	}
}

// securityWarnings returns what is insecure or useless about the change log.
func (j ChangeLog) securityWarnings(feed string) (list []string) {
	if w := j.Token.Warning(); w != "" {
		list = append(list, "token of the change log: "+w)
	}
	if j.Listen == "" {
		return list
	}
	if feed == FeedUpdatedSince {
		list = append(list, `journal.listen has no effect: feed = "updated_since" needs no change log`)
	}
	if j.TLSCert == "" && !IsLoopback(j.Listen) {
		list = append(list, "journal.listen: pushed objects, including data bags, cross the network unencrypted (set tls_cert and tls_key)")
	}
	return list
}
