package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// requestStop asks the operator to end the load of a test (spec.stop), and updates the generation of the test. The error reports an
// operator that is too old for this.
func requestStop(ctx context.Context, c client.Client, test *v2.LocustTest) error {
	key := client.ObjectKeyFromObject(test)
	// The UID refuses to stop another test that has the name by now.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": test.UID}, "spec": map[string]any{"stop": true}})
	if err != nil {
		return err
	}
	stopped := test.DeepCopy()
	// Strict: the API server would otherwise drop a field that it does not know, and report success.
	err = c.Patch(ctx, stopped, client.RawPatch(types.MergePatchType, patch), client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case apierrors.IsNotFound(err) && !isNotServed(err):
		return fmt.Errorf("stop the test %s: it has been deleted", key)
	case apierrors.IsConflict(err), apierrors.IsInvalid(err) && strings.Contains(err.Error(), "metadata.uid: Invalid value"):
		return fmt.Errorf("stop the test %s: it has been deleted and created again meanwhile", key)
	case err == nil && !stopped.Spec.Stop, err != nil && strings.Contains(err.Error(), `unknown field "spec.stop"`):
		return fmt.Errorf("stop the test %s: the operator in this cluster is older than this plugin, and cannot stop a test: its CRD has no field "+
			"spec.stop\nUpgrade the operator with its CRDs, see docs/upgrade.md; or end the load without a result: kubectl delete locusttest%s %s",
			key, flagsFor(c, key.Namespace), key.Name)
	case err != nil:
		return explain("stop the test "+key.String(), editorRole, err)
	}
	test.ResourceVersion, test.Generation, test.Spec.Stop = stopped.ResourceVersion, stopped.Generation, true
	return nil
}
