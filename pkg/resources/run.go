package resources

import (
	"encoding/json"
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// AnnotationRunSpec holds, on both Jobs, the JSON of the spec that the run was started from.
	AnnotationRunSpec = "locust.io/run-spec"
	// AnnotationRunGeneration holds, on both Jobs, the test's metadata.generation at the start of the run.
	AnnotationRunGeneration = "locust.io/run-generation"
)

// Run is the spec and generation that a run was started from. It is stored in the Jobs' annotations, so it
// survives a restart of the operator and is deleted with the run.
type Run struct {
	Spec       v2.LocustTestSpec
	Generation int64
	// Locust is the configuration of the spec.
	Locust LocustConfig
}

// NewRun returns the run of a test's current spec.
func NewRun(test *v2.LocustTest) *Run {
	return &Run{Spec: test.Spec, Generation: test.Generation, Locust: ConfigFor(&test.Spec)}
}

// RunFromJob reads the run that a Job belongs to. It returns nil without an error if the Job has no run
// annotations (another operator created it), and an error if the annotations cannot be decoded.
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
	run.Locust = ConfigFor(&run.Spec)
	return run, nil
}

// ApplyTo returns a copy of test with the spec and generation of the run. Lost objects are rebuilt from it,
// so that a run never mixes two specs. A nil run returns an unchanged copy.
func (r *Run) ApplyTo(test *v2.LocustTest) *v2.LocustTest {
	started := test.DeepCopy()
	if r != nil {
		r.Spec.DeepCopyInto(&started.Spec)
		started.Generation = r.Generation
		started.DecodeError = nil // it belongs to the current spec
	}
	return started
}

// InSync reports whether the test's spec equals the run's. Equal generations suffice: a newer operator may
// serve the same object with defaults that its schema did not have before. Otherwise the specs are
// compared with their defaults set. A nil run is in sync.
func (r *Run) InSync(test *v2.LocustTest) bool {
	return r == nil || r.Generation == test.Generation || SameSpec(&r.Spec, &test.Spec)
}

// runAnnotations returns the annotations that record the test's current spec as the spec of the run.
func runAnnotations(test *v2.LocustTest) (map[string]string, error) {
	spec, err := json.Marshal(runSpec(&test.Spec))
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	return map[string]string{
		AnnotationRunSpec:       string(spec),
		AnnotationRunGeneration: strconv.FormatInt(test.Generation, 10),
	}, nil
}
