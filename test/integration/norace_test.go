//go:build integration && !race

package integration

const slowdown = 1
