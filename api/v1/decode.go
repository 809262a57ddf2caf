package v1

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// UnmarshalJSON decodes a LocustTest. It sets DecodeError if the metadata or the spec has too many values.
func (t *LocustTest) UnmarshalJSON(data []byte) error {
	object := struct {
		*metav1.TypeMeta `json:",inline"`
		Metadata         json.RawMessage      `json:"metadata"`
		Spec             json.RawMessage      `json:"spec"`
		Status           *v2.LocustTestStatus `json:"status"`
	}{TypeMeta: &t.TypeMeta, Status: &t.Status}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &object); err != nil {
		return err
	}
	var err error
	if t.DecodeError, err = v2.DecodeMetadata(object.Metadata, &t.ObjectMeta); err != nil || len(object.Spec) == 0 {
		return err
	}
	if t.DecodeError == nil {
		t.DecodeError = v2.CheckValues("spec", object.Spec, v2.MaxValues)
	}
	if t.DecodeError != nil {
		t.Spec = LocustTestSpec{}
		return nil
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(object.Spec, &t.Spec); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	return nil
}
