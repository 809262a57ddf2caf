package resources

import (
	"maps"
	"slices"
	"strconv"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// annotationFilePrefix precedes the number of a file in testFiles.inline. Its name may not be valid in the key of an annotation.
const annotationFilePrefix = "locust.io/file-"

// annotationFile is a file that an annotation of the pod holds.
type annotationFile struct {
	name, annotation, content string
}

// inlineFiles returns the files of testFiles.inline, by name.
func inlineFiles(spec *v2.LocustTestSpec) []annotationFile {
	if spec.TestFiles == nil {
		return nil
	}
	var files []annotationFile
	for i, name := range slices.Sorted(maps.Keys(spec.TestFiles.Inline)) {
		files = append(files, annotationFile{name, annotationFilePrefix + strconv.Itoa(i), string(spec.TestFiles.Inline[name])})
	}
	return files
}

// PodAnnotations returns all annotations of a role's pods, given a spec with its defaults.
func PodAnnotations(spec *v2.LocustTestSpec, role Role) map[string]string {
	if role == RoleMaster {
		return podAnnotations(spec, spec.Master.Annotations, MasterCommandFor(spec).Reporter)
	}
	return podAnnotations(spec, spec.Worker.Annotations, false)
}

// podAnnotations adds the operator's annotations to the user's, which they override.
func podAnnotations(spec *v2.LocustTestSpec, own map[string]string, reporter bool) map[string]string {
	files := inlineFiles(spec)
	if reporter {
		files = append(files, annotationFile{reporterFile, AnnotationReporter, reporterSource})
	}
	if len(files) == 0 {
		return own
	}
	all := map[string]string{}
	maps.Copy(all, own)
	for _, f := range files {
		all[f.annotation] = f.content
	}
	return all
}
