package config

import (
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"1B": 1, "500MiB": 500 << 20, "10GiB": 10 << 30, "1.5 TiB": 3 << 39, "20GB": 20e9,
		"3kb": 3000, "2 gib": 2 << 30} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "GiB", "-1GiB", "+1GiB", "1e3GiB", "0B", "0.1B", "10 GiB 5MiB", "10PiB",
		"9999999999TiB", "infGiB", "nanGiB", "1.2.3GiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
	for size, want := range map[int64]string{1: "1B", 10 << 30: "10GiB", 3 << 29: "1536MiB", 20e9: "20GB", 1<<20 + 1: "1048577B"} {
		if got := FormatSize(size); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
		if back, err := ParseSize(FormatSize(size)); err != nil || back != size {
			t.Errorf("%d: read back as %d, %v", size, back, err)
		}
	}
}

func TestStageSize(t *testing.T) {
	for _, c := range []struct {
		line  string
		want  int64
		shown string
	}{
		{``, SizeAuto, "auto"}, {`size = "auto"`, SizeAuto, "auto"}, {`size = "unlimited"`, 0, "unlimited"},
		{`size = "0"`, 0, "unlimited"}, {`size = 0`, 0, "unlimited"},
		{`size = "10GiB"`, 10 << 30, "10GiB"}, {`size = "1024 MiB"`, 1 << 30, "1GiB"},
	} {
		got := mustParse(t, Loader{}, minimalConfig+"[stage]\n"+c.line+"\n")
		if got.StageSize != c.want {
			t.Errorf("%s: %d, want %d", c.line, got.StageSize, c.want)
		}
		for _, s := range got.settings {
			if s.Key == "stage.size" && s.Value != c.shown {
				t.Errorf("%s: shown as %q, want %q", c.line, s.Value, c.shown)
			}
		}
	}
	for line, want := range map[string]string{
		`size = "big"`:     `stage.size: "big" isn't a size; write size = "10GiB", "auto" or "unlimited"`,
		`size = "1KiB"`:    `stage.size: must be at least 1MiB; write size = "10GiB"`,
		`size = 10`:        `stage.size: must be a size; write a string with a unit, such as size = "10GiB"`,
		`max_size = "1GB"`: `stage.max_size: unknown key; it is called size here`,
	} {
		if got := problemsOf(t, minimalConfig+"[stage]\n"+line).Error(); !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", line, got, want)
		}
	}
	l := Loader{Env: func(name string) (string, bool) { return "3GiB", name == "CHEF_SYNC_STAGE_SIZE" }}
	if got := mustParse(t, l, minimalConfig+"[stage]\nsize = \"1GiB\"\n"); got.StageSize != 3<<30 {
		t.Errorf("from the environment: %d", got.StageSize)
	}
}
