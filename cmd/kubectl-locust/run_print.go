package main

import (
	"encoding/json"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// objectsOf returns the objects of a test in the order in which they are applied.
func objectsOf(test client.Object, configMap *corev1.ConfigMap) []any {
	if configMap == nil {
		return []any{test}
	}
	files := configMap.DeepCopy()
	files.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	files.Namespace = test.GetNamespace()
	return []any{files, test}
}

// writeObjects writes objects as a manifest, without what the API server adds.
func writeObjects(out io.Writer, format string, objects ...any) error {
	items := make([]any, len(objects))
	for i, object := range objects {
		content, err := manifestOf(object)
		if err != nil {
			return fmt.Errorf("print the objects: %w", err)
		}
		items[i] = content
	}
	if format == "json" {
		var document any = map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
		if len(items) == 1 {
			document = items[0]
		}
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "    ")
		return encoder.Encode(document)
	}
	for i, item := range items {
		text, err := yaml.Marshal(item)
		if err != nil {
			return fmt.Errorf("print the objects: %w", err)
		}
		if i > 0 {
			fmt.Fprintln(out, "---")
		}
		fmt.Fprint(out, string(text))
	}
	return nil
}

// manifestOf returns the fields of an object that a user writes. Objects of a manifest are returned as they are.
func manifestOf(object any) (map[string]any, error) {
	if given, ok := object.(*unstructured.Unstructured); ok {
		return given.Object, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	removeEmpty(content)
	return content, nil
}

// removeEmpty removes objects without fields, which Go writes for structs that are not set.
func removeEmpty(content map[string]any) {
	for key, value := range content {
		child, isObject := value.(map[string]any)
		if isObject {
			removeEmpty(child)
		}
		if value == nil || isObject && len(child) == 0 {
			delete(content, key)
		}
	}
}
