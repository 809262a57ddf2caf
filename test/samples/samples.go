// Package samples reads the samples in config/samples.
package samples

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Image is the Locust image that all samples use.
const Image = "locustio/locust:2.47.0"

// Target is the file next to the folders of the samples that contains the target of their requests.
const Target = "target.yaml"

// Sample is a file that users apply without changes.
type Sample struct {
	// Path below config/samples, for example "v2/minimal.yaml".
	Path string
	// Shows is its subject, in one phrase.
	Shows string
	// Phase that its tests reach.
	Phase string
	// Manifest is its content.
	Manifest string
}

// header matches the first two lines of each sample.
var header = regexp.MustCompile(`^# (\S.*)\n# Reaches: (Running|Succeeded|Failed)\n`)

// Read returns the samples in dir, those of the newest API version first.
func Read(dir string) ([]Sample, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "v*", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list samples: %w", err)
	}
	var all []Sample
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read sample: %w", err)
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, filepath.Clean(dir)+string(filepath.Separator)))
		m := header.FindStringSubmatch(string(content))
		if m == nil {
			return nil, fmt.Errorf("sample %s: begin with two comments: what it shows, and \"# Reaches: \" with its phase", name)
		}
		all = append(all, Sample{Path: name, Shows: m[1], Phase: m[2], Manifest: string(content)})
	}
	slices.SortStableFunc(all, func(a, b Sample) int { return strings.Compare(b.Version(), a.Version()) })
	return all, nil
}

// Row returns the sample's line of the table in config/samples/README.md.
func (s Sample) Row() string {
	return fmt.Sprintf("| [%s](%s) | %s | %#q |", s.Path, s.Path, s.Shows, s.Phase)
}

// Version returns the sample's API version, for example "v2".
func (s Sample) Version() string {
	version, _, _ := strings.Cut(s.Path, "/")
	return version
}

// Object is one document of a manifest.
type Object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	// Document is its text.
	Document string `json:"-"`
}

// Objects returns the documents of the sample.
func (s Sample) Objects() ([]Object, error) {
	var objects []Object
	for document := range strings.SplitSeq(s.Manifest, "\n---\n") {
		o := Object{Document: document}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("sample %s: %w", s.Path, err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// Tests returns the names of the sample's LocustTests.
func (s Sample) Tests() ([]string, error) {
	objects, err := s.Objects()
	var names []string
	for _, o := range objects {
		if o.Kind == "LocustTest" {
			names = append(names, o.Name)
		}
	}
	return names, err
}

// LocustTests returns the sample's LocustTests in v2.
func (s Sample) LocustTests() ([]*v2.LocustTest, error) {
	objects, err := s.Objects()
	var tests []*v2.LocustTest
	for _, o := range objects {
		if o.Kind != "LocustTest" {
			continue
		}
		test := &v2.LocustTest{}
		if s.Version() == "v1" {
			var old v1.LocustTest
			if err := yaml.Unmarshal([]byte(o.Document), &old); err != nil {
				return nil, fmt.Errorf("sample %s: %w", s.Path, err)
			}
			if err := old.ConvertTo(test); err != nil {
				return nil, fmt.Errorf("sample %s: %w", s.Path, err)
			}
		} else if err := yaml.Unmarshal([]byte(o.Document), test); err != nil {
			return nil, fmt.Errorf("sample %s: %w", s.Path, err)
		}
		tests = append(tests, test)
	}
	return tests, err
}

// With returns the manifest with another Locust image.
func (s Sample) With(image string) string {
	return strings.ReplaceAll(s.Manifest, Image, image)
}
