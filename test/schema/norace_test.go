//go:build !race

package schema

const checksCosts = true
