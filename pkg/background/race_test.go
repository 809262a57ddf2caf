//go:build race

package background

// hostileDivisor makes attacks smaller with the race detector, which multiplies their costs.
const hostileDivisor = 20
