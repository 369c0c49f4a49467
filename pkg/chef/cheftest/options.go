package cheftest

import (
	"cmp"
	"time"
)

// OnlyVersion0 as Options.MaxAPIVersion makes a server that supports API version 0
// only.
const OnlyVersion0 = -1

// Defaults of a Chef Server (docs/chef-server-api.md §1.3, §3.4, §3.5, §3.8).
const (
	DefaultMaxRequestSize = 2_000_000
	DefaultAuthSkew       = 900 * time.Second
	DefaultUploadTTL      = 900 * time.Second
	DefaultDownloadTTL    = 8 * time.Hour
	DefaultKeyBits        = 1024
)

// Options are the settings of a server. The zero Options is a current Chef
// Server with organizations, behind its front end, without updated_since.
type Options struct {
	// UpdatedSince serves the change feed. Without it, the route is unknown to
	// the front end, as on all supported servers (docs/chef-server-api.md §2.1).
	UpdatedSince bool
	// MaxAPIVersion is the highest X-Ops-Server-API-Version; 0 means 2.
	MaxAPIVersion int
	// MinAPIVersion is the lowest one.
	MinAPIVersion int
	// MaxRequestSize bounds a JSON body, in bytes.
	MaxRequestSize int
	// AuthSkew is how far a signature's time may be from the server's.
	AuthSkew time.Duration
	// UploadTTL and DownloadTTL are the lives of signed file URLs.
	UploadTTL, DownloadTTL time.Duration
	// Now is the server's clock; nil means time.Now.
	Now func() time.Time
	// IndexLag starts every organization with a frozen search index: new names
	// appear after Org.RefreshIndex only.
	IndexLag bool
	// Orgless makes a server whose API begins at the root of the URL and which
	// has one organization without a name, like goiardi or Chef 11.
	Orgless bool
	// ChecksStore makes sandboxes ask for content that the bookshelf doesn't hold as
	// its checksum says. A Chef Infra Server looks at its table of checksums alone
	// (docs/chef-server-api.md §3.5).
	ChecksStore bool
	// NoFrontEnd leaves out what nginx does before a request reaches the API
	// (docs/chef-server-api.md §1.5).
	NoFrontEnd bool
	// EmptyUnknown answers unknown routes with 200, an empty body and the
	// version header, as goiardi does (docs/chef-server-api.md §13).
	EmptyUnknown bool
	// LenientVersion accepts API versions out of range, answers as at the
	// highest one and leaves the version header out, as goiardi does.
	LenientVersion bool
	// KeyBits is the size of the RSA keys the server makes. The default of 1024
	// is quick, and too short for signatures of version 1.0 and 1.1, which
	// need 2048. Smaller ones need the setting rsa1024min=0 of GODEBUG.
	KeyBits int
}

func (o Options) withDefaults() Options {
	switch o.MaxAPIVersion {
	case 0:
		o.MaxAPIVersion = 2
	case OnlyVersion0:
		o.MaxAPIVersion = 0
	}
	o.MaxRequestSize = cmp.Or(o.MaxRequestSize, DefaultMaxRequestSize)
	o.AuthSkew = cmp.Or(o.AuthSkew, DefaultAuthSkew)
	o.UploadTTL = cmp.Or(o.UploadTTL, DefaultUploadTTL)
	o.DownloadTTL = cmp.Or(o.DownloadTTL, DefaultDownloadTTL)
	o.KeyBits = cmp.Or(o.KeyBits, DefaultKeyBits)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}
