// Package buildinfo has the version of the program.
package buildinfo

import (
	"runtime"
	"runtime/debug"
)

// Info is the version of the program and how it was built.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read returns the version of this program.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	v := Of(info)
	v.Go, v.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
	return v
}

// Of returns the version of a program from what Go recorded in it. The version is that of
// the tag, or for another commit a pseudo-version that sorts after the last tag.
func Of(info *debug.BuildInfo) Info {
	v := Info{Version: "devel", Go: info.GoVersion}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	var system, architecture string
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			system = s.Value
		case "GOARCH":
			architecture = s.Value
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	v.Platform = system + "/" + architecture
	return v
}
