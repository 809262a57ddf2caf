package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// versionV1 is the older version of LocustTest. The API server converts it.
const versionV1 = "locust.io/v1"

// runManifest applies the objects of a manifest, and runs its test.
func (a *app) runManifest(ctx context.Context, options runOptions) error {
	objects, err := a.readManifest(options.manifest)
	if err != nil {
		return err
	}
	test, others, err := splitManifest(objects)
	if err != nil {
		return err
	}
	if options.replace && test.GetName() == "" {
		return errors.New("--replace needs metadata.name in the LocustTest: with generateName, each test has a name of its own")
	}
	given := a.givenNamespace()
	if err := checkNamespace(given, objects); err != nil {
		return err
	}
	if options.replaceImage {
		replaceImage(test, objects, options.image)
	}
	endless, err := checkManifestTest(test)
	if err != nil {
		return err
	}
	if options.dryRun == "client" {
		return a.printManifest(options.output, given, objects)
	}
	if endless {
		a.note("no run time is given (--run-time): the load ends only when it is stopped, or the locustfile ends it")
	}
	c, err := a.manifestClient()
	if err != nil {
		return err
	}
	namespace, err := a.namespace()
	if err != nil {
		return err
	}
	setNamespace(test, namespace)
	return a.applyAndRun(ctx, c, manifest{test: test, others: others, namespace: namespace}, options)
}

// printManifest prints the objects of a manifest with the namespace of --namespace. It is not added to objects of kinds whose scope is not
// known without a cluster.
func (a *app) printManifest(format, namespace string, objects []*unstructured.Unstructured) error {
	printed := make([]any, len(objects))
	for i, object := range objects {
		printed[i] = object
		switch {
		case namespace == "" || object.GetNamespace() != "":
		case isNamespacedKind(object.GroupVersionKind().GroupKind()):
			object.SetNamespace(namespace)
		case !isClusterKind(object.GroupVersionKind().GroupKind()):
			a.note("--namespace is not added to " + nameOf(object) + ": only a cluster knows whether the kind has namespaces")
		}
	}
	return writeObjects(a.Out, format, printed...)
}

// readManifest reads the objects of a YAML or JSON file, or of standard input for "-".
func (a *app) readManifest(path string) ([]*unstructured.Unstructured, error) {
	if path == "-" {
		return parseManifest(a.In)
	}
	file, err := os.Open(path) // #nosec G304 -- the user names the file
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	return parseManifest(file)
}

// parseManifest reads objects. The items of a List become objects of their own.
func parseManifest(in io.Reader) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bufio.NewReader(in), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("parse the manifest: %w", err)
		case len(object.Object) == 0:
			continue
		case object.GetKind() == "" || object.GetAPIVersion() == "":
			return nil, fmt.Errorf("the object %d of the manifest has no kind or no apiVersion; add them", len(objects)+1)
		}
		if !object.IsList() {
			objects = append(objects, object)
			continue
		}
		err = object.EachListItem(func(item runtime.Object) error {
			objects = append(objects, item.(*unstructured.Unstructured))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("parse the manifest: %w", err)
		}
	}
}

// splitManifest returns the manifest's only LocustTest, and the other objects.
func splitManifest(objects []*unstructured.Unstructured) (test *unstructured.Unstructured, others []*unstructured.Unstructured, err error) {
	var tests []*unstructured.Unstructured
	for _, object := range objects {
		if isTest(object) {
			tests = append(tests, object)
		} else {
			others = append(others, object)
		}
	}
	switch {
	case len(tests) != 1:
		return nil, nil, fmt.Errorf("the manifest has %d LocustTests of %s; exactly one is required. Run several with kubectl apply, and follow each with kubectl locust watch",
			len(tests), v2.GroupVersion)
	case tests[0].GetName() == "" && tests[0].GetGenerateName() == "":
		return nil, nil, errors.New("the LocustTest of the manifest has no name; add metadata.name or metadata.generateName")
	}
	return tests[0], others, nil
}

func isTest(object *unstructured.Unstructured) bool {
	version := object.GetAPIVersion()
	return object.GetKind() == "LocustTest" && (version == v2.GroupVersion.String() || version == versionV1)
}

// replaceImage replaces the LocustTest's image in all objects, because the target of the load may use the same image.
func replaceImage(test *unstructured.Unstructured, objects []*unstructured.Unstructured, image string) {
	old, found, err := unstructured.NestedString(test.Object, "spec", "image")
	if err != nil || !found {
		return // checkManifestTest or the API server reports it
	}
	for _, object := range objects {
		replaceField(object.Object, "image", old, image)
	}
}

// replaceField replaces one value of a field, at all depths.
func replaceField(value any, field, from, to string) {
	switch value := value.(type) {
	case map[string]any:
		if value[field] == from {
			value[field] = to
		}
		for _, child := range value {
			replaceField(child, field, from, to)
		}
	case []any:
		for _, child := range value {
			replaceField(child, field, from, to)
		}
	}
}

// checkManifestTest validates a test of v2, and reports whether it has no run time. The API server validates tests of v1.
func checkManifestTest(object *unstructured.Unstructured) (endless bool, err error) {
	if object.GetAPIVersion() == versionV1 {
		return false, nil
	}
	data, err := json.Marshal(object.Object)
	if err != nil {
		return false, fmt.Errorf("parse the LocustTest of the manifest: %w", err)
	}
	test := &v2.LocustTest{}
	if err := json.Unmarshal(data, test); err != nil {
		return false, fmt.Errorf("parse the LocustTest of the manifest: %w", err)
	}
	if err := validate(test); err != nil {
		return false, err
	}
	return isEndless(test), nil
}

// manifestClient returns a client for objects of all kinds. It looks their resources up when it needs them.
func (a *app) manifestClient() (client.WithWatch, error) {
	config, err := a.restConfig()
	if err != nil {
		return nil, err
	}
	c, err := newClient(config, nil)
	if err != nil {
		return nil, err
	}
	return clusterClient{c, a}, nil
}

// givenNamespace returns the namespace of --namespace; empty without it.
func (a *app) givenNamespace() string {
	if a.flags.Namespace == nil {
		return ""
	}
	return *a.flags.Namespace
}

// checkNamespace returns an error if --namespace contradicts an object, as kubectl does.
func checkNamespace(given string, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		if own := object.GetNamespace(); own != "" && given != "" && own != given {
			return fmt.Errorf("%s is in another namespace than --namespace %s; leave the flag out, or remove the namespace from the manifest", nameOf(object), given)
		}
	}
	return nil
}

func setNamespace(object *unstructured.Unstructured, namespace string) {
	if object.GetNamespace() == "" {
		object.SetNamespace(namespace)
	}
}

// followedTest returns what is known of a test that was just created.
func followedTest(object client.Object) *v2.LocustTest {
	return &v2.LocustTest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v2.GroupVersion.String(), Kind: "LocustTest"},
		ObjectMeta: metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID()},
	}
}
