package resources

// maxExcerpt is the maximum number of characters of a value in an error, which must fit in a condition and an Event.
const maxExcerpt = 120

// Excerpt shortens a value for an error.
func Excerpt(value string) string {
	runes := []rune(value)
	if len(runes) <= maxExcerpt {
		return value
	}
	return string(runes[:maxExcerpt]) + "..."
}
