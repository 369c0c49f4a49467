package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"chefsync/pkg/fault"
)

// redacted is printed instead of a secret.
const redacted = "(secret)"

// Secret is the content of a private key or the like. It is printed, logged and
// encoded as "(secret)".
type Secret struct{ content []byte }

// NewSecret wraps content.
func NewSecret(content []byte) Secret { return Secret{content} }

// Reveal returns the content, for the code that needs it.
func (s Secret) Reveal() []byte { return s.content }

// String returns "(secret)".
func (Secret) String() string { return redacted }

// GoString returns "(secret)".
func (Secret) GoString() string { return redacted }

// Format writes "(secret)" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns "(secret)"; JSON and TOML use it, too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "(secret)".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Resolver reads what a reference of one scheme names.
type Resolver func(ctx context.Context, name string) ([]byte, error)

// KeyRef says where a secret is kept: file:PATH, env:NAME, secretsmanager:NAME or
// ssm:NAME. The zero KeyRef refers to nothing. A reference is no secret itself.
type KeyRef struct {
	Scheme string // file, env, secretsmanager, ssm; schemeInline for a value that needs no reference
	Name   string // for file an absolute path, unless the folder wasn't known; for schemeInline what is shown
	inline Secret
	env    func(string) (string, bool)
}

// schemeInline is of a value that the configuration, or a file of credentials, contains.
const schemeInline = "inline"

// inlineRef returns a value as a reference that is printed as shown.
func inlineRef(shown, value string) KeyRef {
	return KeyRef{Scheme: schemeInline, Name: shown, inline: NewSecret([]byte(value))}
}

// IsZero reports whether the reference refers to nothing.
func (r KeyRef) IsZero() bool { return r.Scheme == "" }

// String returns the reference as it is written in the configuration.
func (r KeyRef) String() string {
	switch r.Scheme {
	case "":
		return ""
	case schemeInline:
		return r.Name
	}
	return r.Scheme + ":" + r.Name
}

// MarshalText returns what String returns.
func (r KeyRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// maxSecret is the most that is read of a file.
const maxSecret = 1 << 20

// Resolve reads the secret. File and env are built in; resolvers maps further
// schemes. Errors name the reference, never the content.
func (r KeyRef) Resolve(ctx context.Context, resolvers map[string]Resolver) (Secret, error) {
	content, err := r.readContent(ctx, resolvers)
	if err == nil && len(strings.TrimSpace(string(content))) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		var named *fault.Error // it names what was read
		if errors.As(err, &named) {
			return Secret{}, err
		}
		return Secret{}, fmt.Errorf("read %s: %w", r, err)
	}
	return Secret{content}, nil
}

func (r KeyRef) readContent(ctx context.Context, resolvers map[string]Resolver) ([]byte, error) {
	if resolve := resolvers[r.Scheme]; resolve != nil {
		return resolve(ctx, r.Name)
	}
	switch r.Scheme {
	case "":
		return nil, errors.New("no reference was given")
	case schemeInline:
		return r.inline.content, nil
	case "file":
		return readFile(r.Name, maxSecret)
	case "env":
		lookup := r.env
		if lookup == nil {
			lookup = os.LookupEnv
		}
		v, ok := lookup(r.Name)
		if !ok {
			return nil, errors.New("the environment variable isn't set")
		}
		// Line breaks are often lost on the way into a variable.
		return []byte(strings.ReplaceAll(v, `\n`, "\n")), nil
	case "secretsmanager", "ssm":
		return nil, fmt.Errorf("%s references need AWS, which isn't used here; use file or env", r.Scheme)
	}
	return nil, fmt.Errorf("%s references aren't supported", r.Scheme)
}

// readFile reads a text file. A byte order mark is dropped: it would be part of a
// token, and hide the first line of a key.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return bytes.TrimPrefix(data, []byte(byteOrderMark)), err
}

// Warning returns what is insecure about where the secret is kept, or "": a file that
// others may read.
func (r KeyRef) Warning() string {
	if r.Scheme != "file" {
		return ""
	}
	info, err := os.Stat(r.Name)
	if err != nil || info.Mode().Type()&fs.ModeType != 0 || !ReadableByOthers(runtime.GOOS, info.Mode()) {
		return ""
	}
	return fmt.Sprintf("%s can be read by other users (mode %04o): chmod 600 %s", r, info.Mode().Perm(), r.Name)
}

// ReadableByOthers reports whether a file of a mode can be read by users besides its owner.
// On Windows modes don't tell, and no chmod changes them: Go shows all files as 0666 or 0444.
func ReadableByOthers(system string, mode fs.FileMode) bool {
	return system != "windows" && mode.Perm()&0o077 != 0
}

// parseRef parses a reference. The error never contains the text unless that looks like a
// path: it may be a key.
func (r *reader) parseRef(text string) (KeyRef, error) {
	const forms = "write file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME"
	scheme, name, ok := strings.Cut(text, ":")
	switch {
	case strings.Contains(text, "-----BEGIN"):
		return KeyRef{}, refuse("store the key in a file and "+forms, "the key itself doesn't belong here")
	case !ok && looksLikePath(text):
		return KeyRef{}, refuse(fmt.Sprintf("write %q", "file:"+text), "a reference needs a scheme")
	case !ok:
		return KeyRef{}, refuse(forms, "not a reference")
	case name == "":
		return KeyRef{}, refuse(forms, "the reference has no name")
	}
	switch scheme {
	case "file":
		name = r.resolvePath(name, r.configFolder())
	case "env":
		if !matches(`^[A-Za-z_][A-Za-z0-9_]*$`, name) {
			return KeyRef{}, refuse("write env:NAME, without $", "not the name of an environment variable")
		}
	case "secretsmanager", "ssm":
	default:
		return KeyRef{}, refuse(forms, "unknown scheme")
	}
	return KeyRef{Scheme: scheme, Name: name, env: r.Env}, nil
}

func looksLikePath(s string) bool {
	return matches(`^[~./A-Za-z0-9_-]{1,200}$`, s) && (strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "~/") ||
		strings.HasSuffix(s, ".pem"))
}

// resolvePath returns an absolute path: ~/ is the home folder, and relative paths are
// relative to folder.
func (l Loader) resolvePath(p, folder string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok && l.Home != "" {
		return filepath.Join(l.Home, rest)
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(folder, p)
}
