package dynamostate

// Tiny makes everything that is large at some time large at once.
func Tiny() Option {
	return func(s *State) {
		s.sizes = sizes{hot: 1, detail: 256 << 10, inline: 10, delta: 100, logBytes: 200, logCount: 2}
	}
}
