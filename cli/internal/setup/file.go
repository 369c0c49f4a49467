// Package setup writes a first configuration from flags, and from the files of Chef's own
// tools and of the previous product.
package setup

import (
	"fmt"
	"strings"
	"unicode"
)

// DefaultUser is the user that signs the requests of replication unless another is named.
const DefaultUser = "ec_sync_user"

// File is what a first configuration says.
type File struct {
	Primary       Server
	Replicas      []Server
	Organizations []Organization
	// Notes are what could not be converted. They become comments.
	Notes []string
}

// Server is a Chef Server. Its user and key have defaults.
type Server struct {
	Name, URL, User, Key string
}

// Organization is an organization on the primary, with its name on the replicas. No
// replicas means all.
type Organization struct {
	Source, Destination string
	Replicas            []string
}

// TOML returns the text of the configuration.
func (f *File) TOML() string {
	var b strings.Builder
	b.WriteString(`# Written by chef-sync-ctl init. The other keys are explained in the file that
# init --sample writes. Check this file with: chef-sync-ctl config validate
`)
	for _, n := range f.Notes {
		b.WriteString("#\n")
		for line := range strings.Lines(n) {
			b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	b.WriteString("\n# The server to replicate from. It is only read, never written.\n[primary]\n")
	f.Primary.write(&b)
	for _, r := range f.Replicas {
		b.WriteString("\n# A server to replicate to.\n[[replica]]\nname = " + quote(r.Name) + "\n")
		r.write(&b)
	}
	for _, o := range f.Organizations {
		b.WriteString("\n[[organization]]\nsource = " + quote(o.Source) + "\n")
		if o.Destination != "" && o.Destination != o.Source {
			b.WriteString("destination = " + quote(o.Destination) + "\n")
		}
		if len(o.Replicas) > 0 && len(o.Replicas) < len(f.Replicas) {
			quoted := make([]string, len(o.Replicas))
			for i, r := range o.Replicas {
				quoted[i] = quote(r)
			}
			b.WriteString("replicas = [" + strings.Join(quoted, ", ") + "]\n")
		}
	}
	return b.String()
}

func (s Server) write(b *strings.Builder) {
	user, key := s.User, s.Key
	if user == "" {
		user = DefaultUser
	}
	if key == "" {
		key = "file:keys/" + s.Name + ".pem"
	}
	fmt.Fprintf(b, "url  = %s\nuser = %s\nkey  = %s\n", quote(s.URL), quote(user), quote(key))
}

// quote writes a TOML string.
func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}
