package chef

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind classifies what went wrong, as far as it matters to a caller or an operator.
type Kind string

// The kinds of errors.
const (
	KindClockSkew       Kind = "clock skew"           // 401: this machine's clock and the server's differ too much
	KindKey             Kind = "wrong key or user"    // 401: unknown name, or a key that isn't its own
	KindNotMember       Kind = "not associated"       // 403: the user doesn't belong to the organization
	KindMembershipFault Kind = "membership fault"     // 403: the server failed to find out whether it does; transient
	KindOrgMissing      Kind = "organization missing" // 404: there is no such organization
	KindLicense         Kind = "license"              // 403: the server's license has expired
	KindPermission      Kind = "missing permission"   // 403: known and a member, but not allowed to do this
	KindFrontEnd        Kind = "refused by the front end"
	KindAbsent          Kind = "absent"                // 404 of the Chef Server itself
	KindExists          Kind = "exists"                // 409
	KindFrozen          Kind = "frozen"                // 409 or 412 on a cookbook version
	KindInvalid         Kind = "invalid"               // 400, 405, 412, 415, 422: never better by repeating
	KindTooLarge        Kind = "too large"             // 413, or an answer beyond our own limit
	KindMissingChecksum Kind = "missing checksum"      // 400: the manifest names content the server lacks
	KindExpired         Kind = "file URL refused"      // 403 of the file store: expired or wrong signature
	KindUnavailable     Kind = "unavailable"           // 408, 429, 5xx
	KindUnreachable     Kind = "unreachable"           // no answer: DNS, connection, timeout
	KindTLS             Kind = "TLS"                   // the certificate or the protocol doesn't fit
	KindForeign         Kind = "not a Chef Server"     // something else answered
	KindVersion         Kind = "API version"           // 406, or no common version
	KindCanceled        Kind = "canceled"              // the caller's context ended
	KindFileHost        Kind = "file host not allowed" // the server keeps files where the configuration doesn't allow
	KindRequest         Kind = "unusable request"      // refused by this package before sending
)

// Error is a failed request.
type Error struct {
	Server     string // as the user calls it
	Op         string // what was tried: a word such as "read" or "upload"
	Method     string
	Path       string // as sent, without host; of file URLs without the query
	Status     int    // 0 when there was no answer
	Kind       Kind
	Message    string // the server's own words, cleaned and cut
	Hint       string // what to try
	RetryAfter time.Duration
	Attempts   int
	// Unsure: this or an earlier attempt may have taken effect, because its
	// answer was lost or a 5xx.
	Unsure bool
	Err    error

	notSent bool // the breaker of the server is open
}

// Error returns the request, the status and the server's words.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(e.Method + " " + e.Path))
	if e.Server != "" {
		b.WriteString(" on " + e.Server)
	}
	return b.String() + ": " + e.Reason()
}

// Reason returns the error without the request: kind, status and the server's words.
func (e *Error) Reason() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	switch {
	case e.Message != "":
		b.WriteString(": " + e.Message)
	case e.Err != nil:
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error, or "" for one that isn't of this package.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// isTransient reports whether the same request may succeed when it is sent again.
func (k Kind) isTransient() bool {
	switch k {
	case KindUnavailable, KindUnreachable, KindMembershipFault:
		return true
	}
	return false
}

// hint returns what an operator can try.
func (k Kind) hint() string {
	switch k {
	case KindClockSkew:
		return "synchronize the clocks of this machine and of the server (both within 15 minutes)"
	case KindKey:
		return "check the user name and that the private key belongs to it and hasn't expired; a backup that was restored on the " +
			"server (knife ec restore) brings its own keys: chef-sync-ctl prepare-org adds this one again"
	case KindNotMember:
		return "associate the user with the organization: chef-sync-ctl prepare-org"
	case KindMembershipFault:
		return "the server could not check the membership; try again later"
	case KindOrgMissing:
		return "check the organization's name, and that it exists on this server"
	case KindLicense:
		return "renew the Chef Server's license"
	case KindPermission:
		return "grant the user this permission: chef-sync-ctl prepare-org, or the object's ACL"
	case KindFrontEnd:
		return "a proxy or the server's front end refuses us: look for a blocked address, a blocked organization or a login page"
	case KindExists:
		return "it exists already; update it instead"
	case KindFrozen:
		return "the version is frozen: write it with force, or release a new version"
	case KindInvalid:
		return "the server refuses the content as it is; repair the object on the primary"
	case KindTooLarge:
		return "raise the server's limit (opscode_erchef['max_request_size'], nginx['client_max_body_size']) or make the object smaller"
	case KindMissingChecksum:
		return "upload the files again"
	case KindExpired:
		return "read the object again for fresh URLs; if it goes on, compare the clocks of the server's front end and file store"
	case KindUnavailable:
		return "the server is overloaded, restarting or in maintenance; look at chef-server-ctl status"
	case KindUnreachable:
		return "check the URL, DNS, firewall and proxy settings"
	case KindTLS:
		return "check the server's certificate, or give the CA that signed it in the configuration"
	case KindForeign:
		return "check that the URL is a Chef Server's, without a path, and that no proxy or login page stands in front"
	case KindVersion:
		return "the server supports none of the Chef Server API versions 0 to 2"
	}
	return ""
}
