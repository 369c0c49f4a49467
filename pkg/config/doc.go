// Package config reads chef-sync.toml, which the command line, the functions and the
// deployment share.
//
// Reading is strict: unknown keys, wrong types and settings that contradict
// each other are all reported at once, each with its position and what to write
// instead, and nothing is guessed. Private keys are references ([KeyRef]) that
// are read only when they are needed; their content ([Secret]) never appears in
// output, logs or errors.
package config
