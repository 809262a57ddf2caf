//go:build !race

package controllers

const hostileDivisor = 1
