package reference_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/cli"
	"chefsync/cli/internal/reference"
)

// update writes the documents instead of comparing them. It is read-only.
var update = flag.Bool("update", false, "write the documents")

func TestCommandsAreDocumented(t *testing.T) {
	compare(t, "../../../docs/commands.md", reference.Commands(cli.Command()))
}

func TestConfigurationIsDocumented(t *testing.T) {
	text, err := reference.Configuration()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "../../../docs/configuration.md", text)
}

// The page has the lists that the tests of package contract hold the servers to.
func TestCompatibilityIsDocumented(t *testing.T) {
	compare(t, "../../../docs/compatibility.md", reference.Compatibility())
}

func compare(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not what is generated now (make docs writes it):\n%s", path, diff)
	}
}

// TestMarkdownIsClean: in code a backslash would be shown, and blank lines don't repeat.
func TestMarkdownIsClean(t *testing.T) {
	configuration, err := reference.Configuration()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"commands.md": reference.Commands(cli.Command()), "configuration.md": configuration,
		"compatibility.md": reference.Compatibility()} {
		if escaped := regexp.MustCompile("`[a-z]+\\\\_[^`]*`").FindString(text); escaped != "" {
			t.Errorf("%s: %s shows its backslash", name, escaped)
		}
		if strings.Contains(text, "\n\n\n") {
			t.Errorf("%s has two blank lines in a row", name)
		}
	}
}

func TestManualPages(t *testing.T) {
	pages := reference.Man(cli.Command())
	for _, name := range []string{"chef-sync-ctl.1", "chef-sync-ctl-sync-status.1", "chef-sync-ctl-config-show.1", "chef-sync-ctl-exit-codes.1"} {
		if !strings.Contains(pages[name], ".SH NAME\n") {
			t.Errorf("there is no %s", name)
		}
	}
	if page := pages["chef-sync-ctl-sync-status.1"]; !strings.Contains(page, `\-\-servers`) || !strings.Contains(page, `.BR chef\-sync\-ctl (1)`) {
		t.Errorf("the page lacks a flag or a reference:\n%s", page)
	}
}
