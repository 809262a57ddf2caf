package resources

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestRun_SurvivesTheJob(t *testing.T) {
	test := builder.MakeShop(builder.Everything)
	for _, job := range []*batchv1.Job{masterOf(t, test), workerOf(t, test)} {
		run, err := RunFromJob(job)
		require.NoError(t, err)
		assert.Equal(t, &Run{Spec: test.Spec, Generation: 3, Locust: ConfigFor(&test.Spec)}, run)
	}
}

func TestRunOf_None(t *testing.T) {
	run, err := RunFromJob(&batchv1.Job{})
	assert.NoError(t, err)
	assert.Nil(t, run)
}

func TestRunOf_Unreadable(t *testing.T) {
	for name, row := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"spec missing":         {map[string]string{AnnotationRunGeneration: "1"}, "locust.io/run-spec"},
		"spec cut off":         {map[string]string{AnnotationRunSpec: `{"image":`, AnnotationRunGeneration: "1"}, "locust.io/run-spec"},
		"generation missing":   {map[string]string{AnnotationRunSpec: `{}`}, "locust.io/run-generation"},
		"generation no number": {map[string]string{AnnotationRunSpec: `{}`, AnnotationRunGeneration: "x"}, "locust.io/run-generation"},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := RunFromJob(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "perf", Name: "j", Annotations: row.annotations}})
			assert.Nil(t, run)
			assert.ErrorContains(t, err, "job perf/j: annotation "+row.want)
		})
	}
}

func TestRunOf_LostObjectsAreRebuiltFromTheRun(t *testing.T) {
	started := builder.MakeShop(builder.Everything)
	run, err := RunFromJob(masterOf(t, started))
	require.NoError(t, err)

	edited := started.DeepCopy()
	edited.Generation = 4
	edited.Spec.Worker.Replicas = 99
	edited.Spec.Image = "other"
	before := edited.DeepCopy()

	restored := run.ApplyTo(edited)
	assert.Equal(t, workerOf(t, started), workerOf(t, restored), "the lost worker Job comes back as it was")
	assert.Equal(t, before, edited)
	restored.Spec.Master.Labels["x"] = "y"
	assert.NotContains(t, run.Spec.Master.Labels, "x", "the copy is a deep one")

	var none *Run
	assert.Equal(t, edited, none.ApplyTo(edited))
	assert.NotSame(t, edited, none.ApplyTo(edited))
}

func TestRun_InSync(t *testing.T) {
	memory := func(q string) edit {
		return func(s *v2.LocustTestSpec) {
			s.Worker.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(q)}
		}
	}
	halfMinute := &metav1.Duration{Duration: 30 * time.Second}
	for name, row := range map[string]struct {
		started, now edit
		generation   int64
		want         bool
	}{
		"untouched":                      {nothing, nothing, 3, true},
		"new defaults, same generation":  {nothing, func(s *v2.LocustTestSpec) { s.Master.Command = "as a newer schema serves it" }, 3, true},
		"changed and changed back":       {builder.Everything, builder.Everything, 9, true},
		"changed":                        {nothing, func(s *v2.LocustTestSpec) { s.Worker.Replicas = 4 }, 4, false},
		"a default written out":          {nothing, func(s *v2.LocustTestSpec) { s.Master.Autostart = new(true); s.ImagePullPolicy = "IfNotPresent" }, 4, true},
		"a newer default written out":    {nothing, func(s *v2.LocustTestSpec) { s.Master.Reporter = new(true) }, 4, true},
		"the default load guarantee":     {nothing, func(s *v2.LocustTestSpec) { s.LoadGuarantee = v2.LoadGuaranteeBasic }, 4, true},
		"another load guarantee":         {nothing, func(s *v2.LocustTestSpec) { s.LoadGuarantee = v2.LoadGuaranteeStrict }, 4, false},
		"a default within written out":   {builder.Everything, func(s *v2.LocustTestSpec) { builder.Everything(s); s.SuccessCriteria.AbortGracePeriod = halfMinute }, 4, true},
		"the opposite of a default":      {nothing, func(s *v2.LocustTestSpec) { s.Master.Autostart = new(false) }, 4, false},
		"empty instead of absent":        {nothing, func(s *v2.LocustTestSpec) { s.Volumes = []corev1.Volume{} }, 4, true},
		"the same quantity":              {memory("1Gi"), memory("1024Mi"), 4, true},
		"a different quantity":           {memory("1Gi"), memory("1G"), 4, false},
		"only the metadata changed back": {nothing, nothing, 5, true},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := RunFromJob(masterOf(t, builder.MakeShop(row.started)))
			require.NoError(t, err)
			now := builder.MakeShop(row.now)
			now.Generation = row.generation
			assert.Equal(t, row.want, run.InSync(now))
		})
	}
	var none *Run
	assert.True(t, none.InSync(builder.MakeShop()))
}

func TestSameSpec(t *testing.T) {
	before := builder.MakeShop(builder.Everything)
	same := before.DeepCopy()
	same.Spec.Master.Autostart = new(true) // the default
	assert.True(t, SameSpec(&before.Spec, &same.Spec))
	same.Spec.Worker.Replicas++
	assert.False(t, SameSpec(&before.Spec, &same.Spec))
}
