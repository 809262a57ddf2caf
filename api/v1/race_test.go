//go:build race

package v1

// roundTrips is small because the race detector is ten times slower, and the conversion is not concurrent.
const roundTrips = 500
