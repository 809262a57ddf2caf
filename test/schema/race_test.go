//go:build race

package schema

// checksCosts is false with the race detector, because it multiplies the costs.
const checksCosts = false
