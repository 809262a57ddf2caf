//go:build race

package schema

// checksCosts is false with the race detector, which multiplies them.
const checksCosts = false
