package buildinfo

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}}
	stamped := append(settings, debug.BuildSetting{Key: "vcs.revision", Value: "a8c9d96"},
		debug.BuildSetting{Key: "vcs.time", Value: "2026-11-30T07:30:11Z"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for _, c := range []struct {
		name string
		info debug.BuildInfo
		want Info
	}{
		{"of a tag", debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.3"}, Settings: stamped},
			Info{Version: "v1.2.3", Revision: "a8c9d96", Time: "2026-11-30T07:30:11Z", Modified: true, Go: "go1.26.8", Platform: "linux/arm64"}},
		{"without version control", debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Settings: settings},
			Info{Version: "devel", Go: "go1.26.8", Platform: "linux/arm64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Of(&c.info); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReadNamesThisPlatform(t *testing.T) {
	if v := Read(); v.Version == "" || v.Go != runtime.Version() || v.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%+v", v)
	}
}
