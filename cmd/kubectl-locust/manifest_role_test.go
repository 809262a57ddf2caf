package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestApply_Role checks that the role edit is named only for objects with a namespace: it does not permit to write others.
func TestApply_Role(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, meta.RESTScopeRoot)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Service"}, meta.RESTScopeNamespace)
	c := fake.NewClientBuilder().WithScheme(newScheme()).WithRESTMapper(mapper).WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "demo", errors.New("eve cannot"))
		},
	}).Build()
	for kind, want := range map[string]string{"Namespace": "for a role that permits this verb and resource", "Service": "for the ClusterRole edit"} {
		object := parsed(t, `{"apiVersion": "v1", "kind": "`+kind+`", "metadata": {"name": "demo"}}`)[0]
		assert.ErrorContains(t, (&outputs{}).app().apply(t.Context(), c, object, "load"), want)
	}
}
