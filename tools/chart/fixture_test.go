package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	root    = "../.."
	folder  = root + "/charts/locust-k8s-operator"
	release = "locust-k8s-operator"
	system  = "locust-k8s-operator-system"
)

// object is one rendered object.
type object map[string]any

// at returns the value of a path, whose elements are separated by "/"; "~" stands for "/" in an element. In a list, an element
// "[key=value]" selects an item, a number the item at that index, and any other element a word.
func (o object) at(path string) any {
	var value any = map[string]any(o)
	for part := range strings.SplitSeq(path, "/") {
		part = strings.ReplaceAll(part, "~", "/")
		switch container := value.(type) {
		case map[string]any:
			value = container[part]
		case []any:
			key, wanted, _ := strings.Cut(strings.Trim(part, "[]"), "=")
			index := slices.IndexFunc(container, func(item any) bool {
				fields, ok := item.(map[string]any)
				return item == any(part) || ok && fields[key] == wanted
			})
			if number, err := strconv.Atoi(part); err == nil && number < len(container) {
				index = number
			}
			if index < 0 {
				return nil
			}
			value = container[index]
		default:
			return nil
		}
	}
	return value
}

func (o object) text(path string) string {
	text, _ := o.at(path).(string)
	return text
}

func (o object) kind() string { return o.text("kind") }
func (o object) name() string { return o.text("metadata/name") }
func (o object) id() string {
	return o.kind() + " " + strings.TrimPrefix(o.text("metadata/namespace")+"/"+o.name(), "/")
}
func (o object) hook() bool { return o.text("metadata/annotations/helm.sh~hook") != "" }

// objects are rendered objects by id.
type objects map[string]object

// kind returns the objects of a kind.
func (all objects) kind(kind string) []object {
	var found []object
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if all[id].kind() == kind {
			found = append(found, all[id])
		}
	}
	return found
}

// only returns the single object of a kind that is no hook.
func (all objects) only(t *testing.T, kind string) object {
	t.Helper()
	found := slices.DeleteFunc(all.kind(kind), object.hook)
	require.Len(t, found, 1, kind)
	return found[0]
}

// called returns the object of a kind with a webhook: of the CRDs that of LocustTests, whose versions are converted.
func (all objects) called(t *testing.T, kind string) object {
	t.Helper()
	if kind != "CustomResourceDefinition" {
		return all.only(t, kind)
	}
	found := all[kind+" locusttests.locust.io"]
	require.NotNil(t, found)
	return found
}

// without returns the objects without hooks.
func (all objects) withoutHooks() objects {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(_ string, o object) bool { return o.hook() })
	return kept
}

// values parses values as a user writes them.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &parsed))
	return parsed
}

var theChart = sync.OnceValues(func() (*chart.Chart, error) { return loader.LoadDir(folder) })

// renderAll renders the chart as `helm install` does, with the validation of values.
func renderAll(c *chart.Chart, name, namespace string, vals map[string]any, apis ...string) (map[string]string, error) {
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.APIVersions = append(capabilities.APIVersions, apis...)
	options := chartutil.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	if err := chartutil.ProcessDependencies(c, vals); err != nil {
		return nil, err
	}
	prepared, err := chartutil.ToRenderValues(c, vals, options, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, prepared)
}

// tryRender returns the objects of a release with these values.
func tryRender(t *testing.T, name, namespace, vals string, apis ...string) (objects, error) {
	t.Helper()
	c, err := theChart()
	require.NoError(t, err)
	files, err := renderAll(c, name, namespace, values(t, vals), apis...)
	if err != nil {
		return nil, err
	}
	all := objects{}
	for file, text := range files {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq("\n"+text, "\n---\n") {
			o := parse(t, document)
			if o == nil {
				continue
			}
			require.NotContains(t, all, o.id(), "an object that is rendered twice")
			all[o.id()] = o
		}
	}
	return all, nil
}

func render(t *testing.T, name, namespace, vals string, apis ...string) objects {
	t.Helper()
	all, err := tryRender(t, name, namespace, vals, apis...)
	require.NoError(t, err)
	return all
}

// strict refuses unknown and duplicate fields.
var strict = sync.OnceValue(func() runtime.Decoder {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	utilruntime.Must(v2.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
})

// foreign are the groups whose types are not decoded here. tools/observability decodes those of the Prometheus operator.
var foreign = []string{"cert-manager.io/v1", "monitoring.coreos.com/v1"}

// parsed has the documents that were parsed before: the CRD is large, and nearly always the same.
var parsed sync.Map

// parse returns the object of a document, which must not be changed; nil if the document is empty. It is also decoded into its
// Go type, as an API server with strict validation does.
func parse(t *testing.T, document string) object {
	t.Helper()
	if known, ok := parsed.Load(document); ok {
		return known.(object)
	}
	var o object
	require.NoError(t, yaml.UnmarshalStrict([]byte(document), &o), "%s", document)
	if o != nil && !slices.Contains(foreign, o.text("apiVersion")) {
		_, _, err := strict().Decode([]byte(document), nil, nil)
		require.NoError(t, err, "%s:\n%.2000s", o.id(), document)
	}
	parsed.Store(document, o)
	return o
}

// as decodes an object into its Go type.
func as[T any](t *testing.T, o object) T {
	t.Helper()
	data, err := yaml.Marshal(o)
	require.NoError(t, err)
	var typed T
	require.NoError(t, yaml.UnmarshalStrict(data, &typed))
	return typed
}

// build returns the objects of `kustomize build` of folders of config.
func build(t *testing.T, folders ...string) objects {
	t.Helper()
	all := objects{}
	for _, folder := range folders {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "config", folder))
		require.NoError(t, err)
		for _, resource := range built.Resources() {
			text, err := resource.AsYAML()
			require.NoError(t, err)
			var o object
			require.NoError(t, yaml.Unmarshal(text, &o))
			all[o.id()] = o
		}
	}
	return all
}
