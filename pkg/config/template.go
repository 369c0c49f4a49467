package config

import _ "embed"

//go:embed template.toml
var template string

// Template returns a commented configuration to begin with. It is valid as it is.
func Template() string { return template }
