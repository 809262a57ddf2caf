package resources

import (
	"regexp"
	"strconv"
	"strings"
)

// SplitImage returns an image's repository, tag and digest. Tag and digest are empty if they are not given.
func SplitImage(image string) (repository, tag, digest string) {
	image, digest, _ = strings.Cut(image, "@")
	slash := strings.LastIndex(image, "/") // a colon before it belongs to a port
	name, tag, _ := strings.Cut(image[slash+1:], ":")
	return image[:slash+1] + name, tag, digest
}

// locustImage matches the repository of Locust's own image: locustio/locust in any registry or mirror, or locust alone.
// The tags of other images count their own versions.
var locustImage = regexp.MustCompile(`^(?:(?:.+/)?locustio/|[^/]*[.:][^/]*/|localhost/)?locust$`)

// releaseTag matches a tag of Locust's own image, for example 2.8.6 or 2.43.3-master.
var releaseTag = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:[.-].*)?$`)

// olderThan reports whether the image's tag names a release of Locust before major.minor. It returns false for other tags.
func olderThan(image string, major, minor int) bool {
	itsMajor, itsMinor, known := release(image)
	return known && (itsMajor < major || itsMajor == major && itsMinor < minor)
}

// release returns the release of Locust that the image's tag names; known is false if it names none.
func release(image string) (major, minor int, known bool) {
	repository, tag, _ := SplitImage(image)
	parts := releaseTag.FindStringSubmatch(tag)
	if !locustImage.MatchString(repository) || parts == nil {
		return 0, 0, false
	}
	// The pattern matches only numbers that Atoi accepts.
	major, _ = strconv.Atoi(parts[1])
	minor, _ = strconv.Atoi(parts[2])
	return major, minor, true
}
