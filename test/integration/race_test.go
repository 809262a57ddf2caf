//go:build integration && race

package integration

// slowdown is that of an operator in the process of the tests: the race detector makes it five to ten times slower.
// The operator of TestHostile, a program of its own, is built without the race detector.
const slowdown = 5
