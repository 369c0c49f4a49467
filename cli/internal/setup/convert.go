package setup

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"chefsync/pkg/config"
)

// unknownURL stands for the URL of a replica whose file doesn't name it: the previous
// product ran on the replica itself.
const unknownURL = "https://REPLICA.example.com"

// AddChefSync adds what a chef-sync.rb of the previous product says: the file of one
// replica. The name of the replica and its URL may be given; otherwise they are taken from
// the file.
func (f *File) AddChefSync(path, name, replicaURL string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the earlier product's file: %w", err)
	}
	c := chefSync{file: f, path: path, replica: Server{Name: name, URL: replicaURL}}
	for _, s := range parseRuby(string(text)) {
		c.add(s)
	}
	return c.finish()
}

// chefSync is one chef-sync.rb that is converted.
type chefSync struct {
	file          *File
	path          string
	role, master  string
	user, key     string
	replica       Server
	organizations []Organization
}

// add converts one setting. Those of ec_sync_client are also written without it.
func (c *chefSync) add(s setting) {
	text, isText := s.value.(string)
	name := strings.TrimPrefix(s.name, "ec_sync_client.")
	reason := ""
	switch {
	case s.value == nil:
		reason = "it is not a plain value"
	case name == "role" && isText:
		c.role = text
	case name == "master" && isText:
		c.master = text
	case name == "replica" && isText:
		if host := hostOf(text); host != "127.0.0.1" && host != "localhost" {
			c.replica.URL = cmp.Or(c.replica.URL, text)
		}
	case name == "sync_user" && isText:
		c.user = text
	case name == "sync_key" && isText:
		c.key = "file:" + text
	case name == "organizations" || name == "organization":
		reason = c.addOrganizations(s.value)
	default:
		reason = whyNot(s.name)
	}
	if reason != "" {
		c.file.Notes = append(c.file.Notes, fmt.Sprintf("not converted, %s:%d: %s\n  %s", c.path, s.line, reason,
			strings.ReplaceAll(s.text, "\n", "\n  ")))
	}
}

// whyNot says why a setting of the previous product has no counterpart.
func whyNot(name string) string {
	table, key, _ := strings.Cut(name, ".")
	switch {
	case key == "dir" || key == "socket_path":
		return "progress is kept at path under [state]"
	case strings.HasPrefix(key, "log_"):
		return "the log is kept with the state, and goes to stderr"
	case key == "ha":
		return "one process replicates for all servers; a second one waits until the first has ended"
	case table == "ec_sync_server" && (key == "listen" || key == "port" || key == "vip"):
		return "changes are served at listen under [journal]"
	case table == "ec_sync_server" || table == "ec_sync_client":
		return "there is no equivalent"
	case slices.Contains([]string{"bootstrap", "chef_base_path", "install_path", "name", "user"}, table):
		return "it concerned the installation of the earlier product"
	}
	return "the setting isn't known"
}

// addOrganizations reads [{:destination => "D", :source => "S"}]. It returns what is wrong.
func (c *chefSync) addOrganizations(value any) (wrong string) {
	list, ok := value.([]any)
	if !ok {
		return "it isn't a list of organizations"
	}
	for _, v := range list {
		switch o := v.(type) {
		case string:
			c.organizations = append(c.organizations, Organization{Source: o})
		case map[string]string:
			source := cmp.Or(o["source"], o["destination"])
			if source == "" {
				wrong = "an organization has no source"
				continue
			}
			c.organizations = append(c.organizations, Organization{Source: source, Destination: o["destination"]})
		}
	}
	return wrong
}

// finish adds the servers and organizations of the file to the configuration.
func (c *chefSync) finish() error {
	switch {
	case c.master == "" && c.role == "master":
		return fmt.Errorf("%s is the file of a primary (role :master), which lists no organizations: convert the file of each replica", c.path)
	case c.master == "":
		return fmt.Errorf("%s names no master", c.path)
	}
	if !strings.Contains(c.master, "://") {
		c.master = "https://" + c.master
	}
	master, _, err := config.NormalizeURL(c.master)
	if err != nil {
		return fmt.Errorf("%s: master: %w", c.path, err)
	}
	primary := Server{Name: "primary", URL: master, User: c.user, Key: cmp.Or(c.key, "file:/etc/chef-sync/ec_sync_user.pem")}
	if known := c.file.Primary; known.URL != "" && known.URL != primary.URL {
		return fmt.Errorf("%s has a different master, %s, than %s", c.path, primary.URL, known.URL)
	}
	c.file.Primary = primary
	r := c.replica
	if r.URL != "" && !strings.Contains(r.URL, "://") {
		r.URL = "https://" + r.URL
	}
	if r.URL == "" {
		r.URL = unknownURL
		c.file.Notes = append(c.file.Notes, fmt.Sprintf("%s doesn't say which server it is for: write the URL of the replica,\n"+
			"or run init with --replica NAME=URL", c.path))
	}
	if r.Name == "" {
		r.Name = nameOf(r.URL)
	}
	r.User, r.Key = primary.User, primary.Key
	if slices.ContainsFunc(c.file.Replicas, func(k Server) bool { return k.Name == r.Name }) {
		return fmt.Errorf("%s is for replica %q, as another file: name each, as --from NAME=FILE", c.path, r.Name)
	}
	c.file.Replicas = append(c.file.Replicas, r)
	if len(c.organizations) == 0 {
		c.file.Notes = append(c.file.Notes, c.path+" lists no organizations: write an [[organization]] for each")
	}
	for _, o := range c.organizations {
		c.file.addOrganization(o, r.Name)
	}
	return nil
}

// addOrganization adds a replica to an organization, or the organization itself.
func (f *File) addOrganization(o Organization, replica string) {
	for i := range f.Organizations {
		known := &f.Organizations[i]
		if known.Source == o.Source && cmp.Or(known.Destination, known.Source) == cmp.Or(o.Destination, o.Source) {
			if len(known.Replicas) > 0 { // else it is for all
				known.Replicas = append(known.Replicas, replica)
			}
			return
		}
	}
	o.Replicas = []string{replica}
	f.Organizations = append(f.Organizations, o)
}

// IsKnife reports whether a file is a knife.rb or config.rb.
func IsKnife(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && slices.ContainsFunc(parseRuby(string(text)), func(s setting) bool { return s.name == "chef_server_url" })
}

// AddKnife takes the primary and its organization from a knife.rb or config.rb.
func (f *File) AddKnife(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, s := range parseRuby(string(text)) {
		if s.name != "chef_server_url" {
			continue
		}
		raw, ok := s.value.(string)
		if !ok {
			return fmt.Errorf("%s:%d: chef_server_url is not a plain value: give the server with --primary", path, s.line)
		}
		return f.AddPrimary(raw)
	}
	return fmt.Errorf("%s has no chef_server_url", path)
}

// AddPrimary takes the primary, and the organization at the end of its URL, if any.
func (f *File) AddPrimary(raw string) error {
	server, org, err := config.NormalizeURL(raw)
	if err != nil {
		return fmt.Errorf("the URL of the primary: %w", err)
	}
	f.Primary.Name, f.Primary.URL = "primary", server
	if org != "" && len(f.Organizations) == 0 {
		f.Organizations = append(f.Organizations, Organization{Source: org})
	}
	return nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return raw
	}
	return u.Hostname()
}

// nameOf returns the first part of a server's name, as the name of a replica.
func nameOf(raw string) string {
	first, _, _ := strings.Cut(hostOf(raw), ".")
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", r) {
			return r
		}
		return -1
	}, first)
	if name == "" || name == "primary" {
		return "replica"
	}
	return strings.ToLower(name[:min(len(name), 32)])
}
