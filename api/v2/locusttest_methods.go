package v2

// IsTerminal reports whether the phase is final: Succeeded or Failed.
func (s *LocustTestStatus) IsTerminal() bool {
	return s.Phase == PhaseSucceeded || s.Phase == PhaseFailed
}
