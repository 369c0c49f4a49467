package chef

import (
	"cmp"

	"chefsync/pkg/fault"
)

// Kind says what went wrong, more exactly than its class, as far as it matters to a
// caller or an operator.
type Kind string

// The kinds of errors.
const (
	KindClockSkew       Kind = "clock skew"           // 401: this machine's clock and the server's differ too much
	KindKey             Kind = "wrong key or user"    // 401: unknown name, or a key that isn't its own
	KindNotMember       Kind = "not associated"       // 403: the user doesn't belong to the organization
	KindMembershipFault Kind = "membership fault"     // 403: the server failed to find out whether it does; transient
	KindOrgMissing      Kind = "organization missing" // 404: there is no such organization
	KindLicense         Kind = "no valid license"     // 402 or 403: the server's own license has expired
	KindPermission      Kind = "missing permission"   // 403: known and a member, but not allowed to do this
	KindFrontEnd        Kind = "refused by the front end"
	KindAbsent          Kind = "absent"                // 404 of the Chef Server itself
	KindExists          Kind = "exists"                // 409
	KindFrozen          Kind = "frozen"                // 409 or 412 on a cookbook version
	KindInvalid         Kind = "invalid"               // 400, 405, 412, 415, 422: never better by repeating
	KindTooLarge        Kind = "too large"             // 413, 414, or an answer beyond our own limit
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

// properties are what a kind of error means.
type properties struct {
	class fault.Class
	hint  string // what an operator can try
}

// kindTable has a row for each kind but KindCanceled, which is transient. It is read-only.
var kindTable = map[Kind]properties{
	KindClockSkew: {fault.Denied, "synchronize the clocks of this machine and of the server (both within 15 minutes)"},
	KindKey: {fault.Denied, "check the user name and that the private key belongs to it and hasn't expired; " +
		"a backup that was restored on the server (knife ec restore) brings its own keys: chef-sync-ctl prepare-org adds this one again"},
	KindNotMember:       {fault.Denied, "associate the user with the organization: chef-sync-ctl prepare-org"},
	KindMembershipFault: {fault.Transient, "the server could not check the membership; try again later"},
	KindOrgMissing:      {fault.NoOrganization, "check the organization's name, and that it exists on this server"},
	KindLicense: {fault.Denied, "this isn't about the user's permissions: the server refuses every request until its own license is valid; " +
		"renew it there (chef-automate license apply)"},
	KindPermission: {fault.Forbidden, "grant the user this permission: chef-sync-ctl prepare-org, or the object's ACL"},
	KindFrontEnd:   {fault.Denied, "a proxy or the server's front end refuses the request: check for a blocked address, a blocked organization or a login page"},
	KindAbsent:     {fault.Absent, ""},
	KindExists:     {fault.Transient, "it exists already; update it instead"},
	KindFrozen:     {fault.Rejected, "the version is frozen: write it with force, or release a new version"},
	KindInvalid:    {fault.Rejected, "the server refuses the content as it is; repair the object on the primary"},
	KindTooLarge: {fault.Rejected, "raise the server's limit (opscode_erchef['max_request_size'], nginx['client_max_body_size']) " +
		"or make the object smaller"},
	KindMissingChecksum: {fault.Transient, "upload the files again"},
	KindExpired:         {fault.Transient, "read the object again for fresh URLs; if it goes on, compare the clocks of the server's front end and file store"},
	KindUnavailable:     {fault.Transient, "the server is overloaded, restarting or in maintenance; check chef-server-ctl status"},
	KindUnreachable:     {fault.Unreachable, "check the URL, DNS, firewall and proxy settings"},
	KindTLS:             {fault.Foreign, "check the server's certificate, or set ca in the configuration to the CA that signed it"},
	KindForeign:         {fault.Foreign, "check that the URL is a Chef Server's, without a path, and that no proxy or login page stands in front"},
	KindVersion:         {fault.Foreign, "the server supports none of the Chef Server API versions 0 to 2"},
	KindFileHost:        {fault.Local, ""}, // the configuration is what has to change
	KindRequest:         {fault.Rejected, ""},
}

func (k Kind) class() fault.Class { return cmp.Or(kindTable[k].class, fault.Transient) }

func (k Kind) hint() string { return kindTable[k].hint }

// isRefusalOfUs reports whether the Chef Server itself refused a request for its signature,
// or refuses everybody. To ask it for its versions is of no use then.
func (k Kind) isRefusalOfUs() bool { return k == KindKey || k == KindClockSkew || k == KindLicense }

// isTransient reports whether the same request may succeed when it is sent again.
func (k Kind) isTransient() bool {
	switch k {
	case KindUnavailable, KindUnreachable, KindMembershipFault:
		return true
	}
	return false
}
