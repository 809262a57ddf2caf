package v2

// IsTerminal tells whether the test has reached a phase that nothing changes any more.
func (s *LocustTestStatus) IsTerminal() bool {
	return s.Phase == PhaseSucceeded || s.Phase == PhaseFailed
}
