package resources

import (
	"encoding/json"
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// AnnotationRunSpec holds, on both Jobs, the JSON of the spec that the run was started from.
	AnnotationRunSpec = "locust.io/run-spec"
	// AnnotationRunGeneration holds, on both Jobs, the test's metadata.generation at the start of the run.
	AnnotationRunGeneration = "locust.io/run-generation"
)

// Run is what a run was started from. It lives in the Jobs' annotations, so it survives a restart of
// the operator and disappears with the run.
type Run struct {
	Spec       v2.LocustTestSpec
	Generation int64
}

// RunFromJob reads the run that a Job belongs to. It returns nil without an error when the Job carries no
// run (another operator made it), and an error when the annotations cannot be read.
func RunFromJob(job *batchv1.Job) (*Run, error) {
	spec, hasSpec := job.Annotations[AnnotationRunSpec]
	generation, hasGeneration := job.Annotations[AnnotationRunGeneration]
	if !hasSpec && !hasGeneration {
		return nil, nil
	}

	run := &Run{}
	if err := json.Unmarshal([]byte(spec), &run.Spec); err != nil {
		return nil, fmt.Errorf("job %s/%s: annotation %s: %w", job.Namespace, job.Name, AnnotationRunSpec, err)
	}
	var err error
	if run.Generation, err = strconv.ParseInt(generation, 10, 64); err != nil {
		return nil, fmt.Errorf("job %s/%s: annotation %s: %w", job.Namespace, job.Name, AnnotationRunGeneration, err)
	}
	return run, nil
}

// ApplyTo returns a copy of test with the spec and generation of the run. Objects that got lost are built
// again from it, so that a run never mixes two specs. A nil run gives a plain copy.
func (r *Run) ApplyTo(test *v2.LocustTest) *v2.LocustTest {
	started := test.DeepCopy()
	if r != nil {
		r.Spec.DeepCopyInto(&started.Spec)
		started.Generation = r.Generation
		started.DecodeError = nil // of the present spec
	}
	return started
}

// InSync tells whether the test's spec still is the one of the run. Equal generations settle it: a
// newer operator may serve the same object with defaults that its schema did not have before. Otherwise
// the specs are compared with their defaults filled in. A nil run knows no other spec, so it is in sync.
func (r *Run) InSync(test *v2.LocustTest) bool {
	if r == nil || r.Generation == test.Generation {
		return true
	}
	return equality.Semantic.DeepEqual(withDefaults(&r.Spec), withDefaults(&test.Spec))
}

// runAnnotations records the test's present spec as the one the run starts from.
func runAnnotations(test *v2.LocustTest) (map[string]string, error) {
	spec, err := json.Marshal(&test.Spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	return map[string]string{
		AnnotationRunSpec:       string(spec),
		AnnotationRunGeneration: strconv.FormatInt(test.Generation, 10),
	}, nil
}
