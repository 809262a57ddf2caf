package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// operatorSupport is what the operator in the cluster supports, as its CRDs show.
type operatorSupport struct {
	Installed bool `json:"installed"`
	// LocustTestVersions are the served versions, the preferred one first.
	LocustTestVersions []string `json:"locustTestVersions,omitempty"`
	// Reports and Stop are nil if unknown.
	Reports *bool `json:"reports,omitempty"`
	Stop    *bool `json:"stop,omitempty"`
	// Deployments are the operators that are visible for the user.
	Deployments []operatorDeployment `json:"deployments,omitempty"`
	// Unknown is why Deployments may be incomplete.
	Unknown string `json:"unknown,omitempty"`
}

// operatorDeployment is a Deployment of the operator.
type operatorDeployment struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Image     string `json:"image"`
	Ready     int32  `json:"readyReplicas"`
}

// The labels of the operator's Deployment and its usual namespace, as config/manager and the chart set them.
const (
	operatorLabels    = "control-plane=controller-manager,app.kubernetes.io/name=locust-k8s-operator"
	operatorNamespace = "locust-k8s-operator-system"
)

// discoveryRole is Kubernetes' own role for discovery, which all authenticated users have by default.
const discoveryRole = "system:discovery"

func (o *operatorSupport) describe() string {
	if !o.Installed {
		return "not installed: the cluster does not serve LocustTests; see docs/install.md"
	}
	var found []string
	for _, d := range o.Deployments {
		text := fmt.Sprintf("%s in %s", d.Image, d.Namespace)
		if d.Ready == 0 {
			text += " (no pod is ready)"
		}
		found = append(found, text)
	}
	if o.Unknown != "" {
		found = append(found, "unknown: "+o.Unknown)
	}
	return strings.Join(found, "; ")
}

func kubernetesVersion(ctx context.Context, raw rest.Interface) (string, error) {
	var info apiversion.Info
	err := getJSON(ctx, raw, "/version", nil, &info)
	return info.GitVersion, err
}

// findSupport returns what the operator supports. It reads only what each authenticated user may read, and Deployments if allowed.
func findSupport(ctx context.Context, raw rest.Interface) (*operatorSupport, error) {
	support := &operatorSupport{}
	var group metav1.APIGroup
	switch err := getJSON(ctx, raw, "/apis/"+v2.GroupVersion.Group, nil, &group); {
	case apierrors.IsNotFound(err):
		return support, nil
	case err != nil:
		return nil, explain("discover the API group "+v2.GroupVersion.Group, discoveryRole, err)
	}
	// Preferred first, the others as the API server orders them.
	served := []string{group.PreferredVersion.Version}
	for _, version := range group.Versions {
		if !slices.Contains(served, version.Version) {
			served = append(served, version.Version)
		}
	}
	reports := false
	for _, version := range served {
		var resources metav1.APIResourceList
		if err := getJSON(ctx, raw, "/apis/"+v2.GroupVersion.Group+"/"+version, nil, &resources); err != nil {
			return nil, explain("discover "+v2.GroupVersion.Group+"/"+version, discoveryRole, err)
		}
		for _, resource := range resources.APIResources {
			switch {
			case resource.Name == "locusttests":
				support.LocustTestVersions = append(support.LocustTestVersions, version)
			case resource.Name == "locustreports" && version == v1alpha1.GroupVersion.Version:
				reports = true
			}
		}
	}
	support.Installed = len(support.LocustTestVersions) > 0
	if !support.Installed {
		return support, nil
	}
	support.Reports = &reports
	support.Stop = supportsStop(ctx, raw, support.LocustTestVersions)
	support.findDeployments(ctx, raw)
	return support, nil
}

// supportsStop reports whether the schema of LocustTests has spec.stop; nil if the API server does not show it.
func supportsStop(ctx context.Context, raw rest.Interface, served []string) *bool {
	supported := false
	if !slices.Contains(served, v2.GroupVersion.Version) {
		return &supported
	}
	// The schemas are large, so only the needed part is decoded.
	var document struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := getJSON(ctx, raw, "/openapi/v3/apis/"+v2.GroupVersion.String(), nil, &document); err != nil {
		return nil
	}
	for name, data := range document.Components.Schemas {
		if !strings.HasSuffix(name, ".LocustTest") {
			continue
		}
		var schema struct {
			Properties struct {
				Spec struct {
					Properties map[string]json.RawMessage `json:"properties"`
				} `json:"spec"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(data, &schema); err != nil || len(schema.Properties.Spec.Properties) == 0 {
			return nil
		}
		_, supported = schema.Properties.Spec.Properties["stop"]
		return &supported
	}
	return nil
}

// findDeployments lists the Deployments of the operator in all namespaces, or else in its usual one.
func (o *operatorSupport) findDeployments(ctx context.Context, raw rest.Interface) {
	paths := []string{"/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/" + operatorNamespace + "/deployments"}
	var err error
	for i, path := range paths {
		var list appsv1.DeploymentList
		if err = getJSON(ctx, raw, path, map[string]string{"labelSelector": operatorLabels}, &list); err != nil {
			continue
		}
		for _, d := range list.Items {
			found := operatorDeployment{Namespace: d.Namespace, Name: d.Name, Ready: d.Status.ReadyReplicas}
			if containers := d.Spec.Template.Spec.Containers; len(containers) > 0 {
				found.Image = containers[0].Image
			}
			o.Deployments = append(o.Deployments, found)
		}
		switch {
		case len(o.Deployments) > 0:
		case i == 0:
			o.Unknown = "there is no Deployment with the labels " + operatorLabels
		default:
			o.Unknown = "it is not in the namespace " + operatorNamespace + ", and others need the permission to list Deployments"
		}
		return
	}
	if apierrors.IsForbidden(err) {
		o.Unknown = "its image needs the permission to list Deployments in " + operatorNamespace
		return
	}
	o.Unknown = err.Error()
}

// getJSON decodes the response of a GET request.
func getJSON(ctx context.Context, raw rest.Interface, path string, parameters map[string]string, into any) error {
	request := raw.Get().AbsPath(path).SetHeader("Accept", "application/json")
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	data, err := request.DoRaw(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
