//go:build race

package controllers

// hostileDivisor makes attacks smaller with the race detector, which multiplies their costs.
const hostileDivisor = 20
