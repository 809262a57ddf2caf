//go:build !race

package background

const hostileDivisor = 1
