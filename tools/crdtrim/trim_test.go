package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const widgetTypes = `package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type Widget struct {
	metav1.TypeMeta ` + "`json:\",inline\"`" + `
	Spec WidgetSpec ` + "`json:\"spec\"`" + `
}

type WidgetSpec struct {
	Affinity *corev1.Affinity ` + "`json:\"affinity,omitempty\"`" + `
	Volumes []corev1.Volume ` + "`json:\"volumes,omitempty\"`" + `
	Mounts Mounts ` + "`json:\"mounts,omitempty\"`" + `
	Conditions []metav1.Condition ` + "`json:\"conditions,omitempty\"`" + `
	Wait *metav1.Duration ` + "`json:\"wait,omitempty\"`" + `
	Rest metav1.Duration ` + "`json:\"rest,omitempty\"`" + `
	Parts map[string]Part ` + "`json:\"parts,omitempty\"`" + `
}

type Mounts []Mount

type Mount struct {
	corev1.VolumeMount ` + "`json:\",inline\"`" + `
	Target string ` + "`json:\"target,omitempty\"`" + `
}

type Part struct {
	Resources corev1.ResourceRequirements ` + "`json:\"resources,omitempty\"`" + `
}
`

const widgetCRD = `---
spec:
  names:
    kind: Widget
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: ours
        properties:
          apiVersion:
            description: ours
          spec:
            description: ours
            properties:
              affinity:
                description: ours
                properties:
                  nodeAffinity:
                    description: theirs
                    properties:
                      description:
                        description: theirs
                        type: string
                    anyOf:
                    - description: theirs
              conditions:
                description: ours
                items:
                  description: ours
                  properties:
                    reason:
                      description: ours
              mounts:
                description: ours
                items:
                  description: ours
                  properties:
                    mountPath:
                      description: theirs
                      maxLength: 1000000
                    target:
                      description: ours
              parts:
                additionalProperties:
                  description: ours
                  properties:
                    resources:
                      description: ours
                      properties:
                        limits:
                          additionalProperties:
                            description: theirs
                          description: theirs
              rest:
                description: ours
                type: string
                x-kubernetes-validations:
                - rule: self != ''
              wait:
                description: ours
                type: string
              volumes:
                description: ours
                items:
                  description: theirs
                  properties:
                    name:
                      description: theirs
`

// writeAPI creates an API folder with one package, v1, that declares the Widget.
func writeAPI(t *testing.T) string {
	t.Helper()
	api := t.TempDir()
	if err := os.Mkdir(filepath.Join(api, "v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(api, "v1", "types.go"), []byte(widgetTypes), 0o644); err != nil {
		t.Fatal(err)
	}
	return api
}

func TestTrimKeepsOurDescriptionsAndDropsTheirs(t *testing.T) {
	out, sizes, err := trimCRD([]byte(widgetCRD), writeAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if strings.Contains(text, "description: theirs") {
		t.Errorf("descriptions of core types are left:\n%s", text)
	}
	if want, got := strings.Count(widgetCRD, "description: ours"), strings.Count(text, "description: ours"); got != want {
		t.Errorf("%d of our %d descriptions are left:\n%s", got, want, text)
	}
	if !strings.Contains(text, "type: string") {
		t.Errorf("the property named description is gone:\n%s", text)
	}
	if !strings.Contains(text, "maxLength: 1000000") {
		t.Errorf("a number changed its form:\n%s", text)
	}
	if len(sizes) != 1 || sizes[0].version != "v1" || sizes[0].bytes == 0 {
		t.Errorf("sizes = %v, want one of v1", sizes)
	}
}

func TestTrimIsStable(t *testing.T) {
	api := writeAPI(t)
	once, _, err := trimCRD([]byte(widgetCRD), api)
	if err != nil {
		t.Fatal(err)
	}
	twice, _, err := trimCRD(once, api)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(once, twice) {
		t.Error("trimming a trimmed CRD changed it")
	}
}

func TestTrimRefuses(t *testing.T) {
	api := writeAPI(t)
	for name, test := range map[string]struct{ crd, want string }{
		"no YAML":           {"\t", "parse"},
		"another object":    {"kind: Pod\n", "not a CustomResourceDefinition"},
		"unknown version":   {strings.Replace(widgetCRD, "name: v1", "name: v9", 1), "types of version v9"},
		"unknown kind":      {strings.Replace(widgetCRD, "kind: Widget", "kind: Gadget", 1), "no type Gadget"},
		"version no schema": {strings.Replace(widgetCRD, "openAPIV3Schema", "other", 1), "no schema"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := trimCRD([]byte(test.crd), api)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestTrimFileRefusesALargeVersion(t *testing.T) {
	large := strings.Replace(widgetCRD, "description: ours", "description: "+strings.Repeat("x", versionLimit), 1)
	path := filepath.Join(t.TempDir(), "crd.yaml")
	if err := os.WriteFile(path, []byte(large), 0o644); err != nil {
		t.Fatal(err)
	}
	err := trimFile(path, writeAPI(t))
	if err == nil || !strings.Contains(err.Error(), "version v1") {
		t.Errorf("error = %v, want one that names the version", err)
	}
}

// TestCommittedCRDs checks that the committed CRDs fit into the annotation of kubectl apply and have descriptions for kubectl explain.
func TestCommittedCRDs(t *testing.T) {
	const annotationLimit = 262144
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs found: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := yaml.YAMLToJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(compact) >= annotationLimit {
			t.Errorf("%s is %d bytes as JSON; the limit of kubectl apply is %d", file, len(compact), annotationLimit)
		}
		var crd struct {
			Spec struct {
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema object }
				}
			}
		}
		if err := json.Unmarshal(compact, &crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			parts := []string{"spec", "status"}
			if strings.HasSuffix(file, "_locustreports.yaml") {
				parts = []string{"test", "outcome", "run", "summary"} // a report has neither
			}
			for _, part := range parts {
				fields, ok := at(version.Schema.OpenAPIV3Schema, "properties", part, "properties")
				if !ok {
					t.Errorf("%s: version %s has no %s", file, version.Name, part)
				}
				for name, field := range fields {
					if schema, _ := field.(object); schema["description"] == nil {
						t.Errorf("%s: %s.%s of version %s has no description for kubectl explain", file, part, name, version.Name)
					}
				}
			}
		}
	}
}

func TestTighten(t *testing.T) {
	const quantity = `{"anyOf":[{"type":"integer"},{"type":"string"}],"pattern":"^[numkMGTPE]$","x-kubernetes-int-or-string":true}`
	for name, test := range map[string]struct{ schema, want string }{
		"quantity":        {quantity, quantityPattern},
		"quantity in map": {`{"additionalProperties":` + quantity + `}`, quantityPattern},
		"quantity in list of objects": {
			`{"items":{"properties":{"divisor":` + quantity + `}}}`, quantityPattern},
		"time": {`{"properties":{"at":{"type":"string","format":"date-time"}}}`, timePattern},
	} {
		t.Run(name, func(t *testing.T) {
			var schema object
			if err := json.Unmarshal([]byte(test.schema), &schema); err != nil {
				t.Fatal(err)
			}
			tighten(schema)
			pattern, err := json.Marshal(test.want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(schema)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(got, pattern) || !bytes.Contains(got, []byte("maxLength")) {
				t.Errorf("schema = %s, want the pattern %s and a maxLength", got, test.want)
			}
		})
	}
	other := object{"type": "string", "pattern": "^x$"}
	tighten(other)
	if other["pattern"] != "^x$" || other["maxLength"] != nil {
		t.Errorf("another string became %v", other)
	}
	port := object{"x-kubernetes-int-or-string": true}
	tighten(port)
	if port["pattern"] != nil {
		t.Errorf("an IntOrString that is not a quantity became %v", port)
	}
}

func TestTightenDuration(t *testing.T) {
	out, _, err := trimCRD([]byte(widgetCRD), writeAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(out), "(m|s|ms|us|µs|ns)"); got != 1 {
		t.Errorf("%d durations got a pattern, want one: that without a rule\n%s", got, out)
	}
}
