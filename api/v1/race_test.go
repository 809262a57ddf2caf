//go:build race

package v1

// The race detector makes everything ten times slower; there is nothing concurrent here.
const roundTrips = 500
