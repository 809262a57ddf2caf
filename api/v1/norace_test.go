//go:build !race

package v1

const roundTrips = 10_000
