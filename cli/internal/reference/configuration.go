package reference

import (
	"fmt"
	"strings"

	"chefsync/pkg/config"
)

// Configuration returns docs/configuration.md.
func Configuration() (string, error) {
	tables, err := config.Reference()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Configuration\n\n" + generated + "The keys of `" + config.FileName + "`. " +
		"[`chef-sync-ctl init`](commands.md#chef-sync-ctl-init) writes a file to begin with, and " +
		"[`chef-sync-ctl config show`](commands.md#chef-sync-ctl-config-show) shows the values in use and where each comes from.\n\n" +
		"- A duration is a number and a unit, such as `\"90s\"`, `\"5m\"`, `\"2h\"` or `\"3d\"`.\n" +
		"- A size is a number and a unit, such as `\"10GiB\"`.\n" +
		"- A reference says where a secret is kept: `file:PATH`, `env:NAME`, `secretsmanager:NAME` or `ssm:NAME`.\n" +
		"- An environment variable takes precedence over the file.\n")
	for _, t := range tables {
		fmt.Fprintf(&b, "\n## `%s`\n\n", t.Header)
		if t.About != "" {
			b.WriteString(escapeMarkdown(t.About) + "\n\n")
		}
		if len(t.Keys) == 0 {
			continue
		}
		b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
		for _, k := range t.Keys {
			writeKey(&b, k)
		}
	}
	return b.String(), nil
}

func writeKey(b *strings.Builder, k config.Key) {
	preset := "none"
	switch {
	case k.Required:
		preset = "required"
	case k.Default != "":
		preset = "`" + k.Default + "`"
	case strings.Contains(k.About, "y default"):
		preset = "see meaning"
	}
	meaning := formatCell(k.About)
	if meaning != "" && !strings.HasSuffix(meaning, ".") {
		meaning += "."
	}
	if k.Env != "" {
		meaning += " Environment: `" + k.Env + "`."
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Name, formatCell(k.Type), preset, meaning)
}
