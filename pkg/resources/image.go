package resources

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// splitImage returns an image's repository, its tag and its digest. The last two are empty when they are not given.
func splitImage(image string) (repository, tag, digest string) {
	image, digest, _ = strings.Cut(image, "@")
	slash := strings.LastIndex(image, "/") // a colon before it is that of a port
	name, tag, _ := strings.Cut(image[slash+1:], ":")
	return image[:slash+1] + name, tag, digest
}

func warnImage(spec *v2.LocustTestSpec, root *field.Path) []string {
	_, tag, digest := splitImage(spec.Image)
	if digest != "" || tag != "" && tag != "latest" {
		return nil
	}
	return []string{fmt.Sprintf("%s: %q has the tag latest or none, so that the next run may use another Locust; name a version, for example locustio/locust:2.43.3",
		root.Child("image"), excerpt(spec.Image))}
}

// locustImage is the repository of Locust's own image: locustio/locust, in whatever registry or mirror, or locust alone.
// The tags of other images count their own versions.
var locustImage = regexp.MustCompile(`^(?:(?:.+/)?locustio/|[^/]*[.:][^/]*/|localhost/)?locust$`)

// releaseTag is a tag of Locust's own image, for example 2.8.6 or 2.43.3-master.
var releaseTag = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:[.-].*)?$`)

// olderThan reports whether the image's tag names a release of Locust before major.minor. It reports false for a tag that
// names none.
func olderThan(image string, major, minor int) bool {
	itsMajor, itsMinor, known := release(image)
	return known && (itsMajor < major || itsMajor == major && itsMinor < minor)
}

// release is the release of Locust that the image's tag names; not known when it names none.
func release(image string) (major, minor int, known bool) {
	repository, tag, _ := splitImage(image)
	parts := releaseTag.FindStringSubmatch(tag)
	if !locustImage.MatchString(repository) || parts == nil {
		return 0, 0, false
	}
	// The pattern admits nothing that Atoi refuses.
	major, _ = strconv.Atoi(parts[1])
	minor, _ = strconv.Atoi(parts[2])
	return major, minor, true
}
