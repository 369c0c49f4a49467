package s3stage

// SetSpool sets the folder for temporary files, and how much content may be in one.
func (s *Stage) SetSpool(folder string, limit int64) *Stage {
	s.spoolDir, s.spoolLimit = folder, limit
	return s
}
