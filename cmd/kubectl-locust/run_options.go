package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
)

const (
	// testFlag annotates flags that describe the test, which a manifest does too.
	testFlag = "locust.io/test"
	// autoquitSeconds is short, because the command waits for the end of the master.
	autoquitSeconds = int32(2)
	// volumeFiles is the volume of files in folders.
	volumeFiles = "files"
)

// testOptions describe a test that is made from files.
type testOptions struct {
	name, image              string
	host, spawnRate, runTime string
	users, workers           int32
	// locustArgs are further arguments of the master.
	locustArgs              []string
	maxFailureRatio, minRPS string
	minRequests             int64
	maxAverage              time.Duration
	maxP50, maxP90          time.Duration
	maxP95, maxP99          time.Duration
	retain                  bool
}

func (o *testOptions) addTestFlags(flags *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	image := os.Getenv(imageVariable)
	if image == "" {
		image = defaultImage
	}
	own.StringVar(&o.image, "image", image, "image of Locust; the variable "+imageVariable+" overrides the default. With --filename, replaces the image of the LocustTest in all objects")
	own.StringVar(&o.name, "name", "", "name of the test; by default that of the file or folder, and a random suffix")
	own.StringVarP(&o.host, "host", "H", "", "host to load test, for example https://shop.example.com; by default the one in the locustfile")
	own.Int32VarP(&o.users, "users", "u", 0, "peak number of concurrent users; by default that of Locust, or of a load shape")
	own.StringVarP(&o.spawnRate, "spawn-rate", "r", "", "users to start per second")
	own.StringVarP(&o.runTime, "run-time", "t", "", "stop the load after this time, for example 30s, 20m or 1h30m")
	own.Int32VarP(&o.workers, "workers", "w", 1, "number of workers")
	own.StringVar(&o.maxFailureRatio, "max-failure-ratio", "", "largest part of the requests that may fail, for example 0.01; by default no request may fail")
	own.DurationVar(&o.maxAverage, "max-average-response-time", 0, "longest average response time allowed, for example 250ms")
	own.DurationVar(&o.maxP50, "max-response-time-p50", 0, "longest median of the response times allowed")
	own.DurationVar(&o.maxP90, "max-response-time-p90", 0, "longest 90th percentile of the response times allowed")
	own.DurationVar(&o.maxP95, "max-response-time-p95", 0, "longest 95th percentile of the response times allowed")
	own.DurationVar(&o.maxP99, "max-response-time-p99", 0, "longest 99th percentile of the response times allowed")
	own.StringVar(&o.minRPS, "min-rps", "", "smallest number of requests per second allowed, on average")
	own.Int64Var(&o.minRequests, "min-requests", 0, "smallest number of requests allowed")
	own.BoolVar(&o.retain, "retain", false, "keep the report of the test when the test is deleted")
	own.VisitAll(func(flag *pflag.Flag) {
		flag.Annotations = map[string][]string{testFlag: {}}
		flags.AddFlag(flag)
	})
}

// newTest returns the test for files, and the ConfigMap that holds them; nil if the test itself does. source is the name of the
// locustfile or the folder.
func (o *testOptions) newTest(source string, files *testFiles) (*v2.LocustTest, *corev1.ConfigMap, error) {
	name := o.name
	if name == "" {
		name = nameFor(source)
	}
	if o.runTime != "" && !locustcli.IsTimespan(o.runTime) {
		return nil, nil, fmt.Errorf("--run-time %s is no time for Locust; give seconds, or hours, minutes and seconds, for example 90s or 1h30m", o.runTime)
	}
	locustfile := "--locustfile " + quote(path.Join(v2.DefaultSrcMountPath, files.locustfile))
	test := &v2.LocustTest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v2.GroupVersion.String(), Kind: "LocustTest"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v2.LocustTestSpec{
			Image: o.image,
			Master: v2.MasterSpec{
				Command: locustfile + o.masterArgs(), ExtraArgs: o.locustArgs,
				Autoquit: &v2.AutoquitConfig{Timeout: new(autoquitSeconds)},
			},
			Worker:          v2.WorkerSpec{Command: locustfile, Replicas: o.workers},
			SuccessCriteria: o.criteria(),
		},
	}
	if o.retain {
		test.Spec.Report = &v2.ReportConfig{Retain: true}
	}
	configMap, err := addFiles(test, files)
	if err != nil {
		return nil, nil, err
	}
	return test, configMap, validate(test)
}

// masterArgs are the options of Locust that have flags.
func (o *testOptions) masterArgs() string {
	var args strings.Builder
	for _, option := range [][2]string{
		{"--host", o.host}, {"--users", numberOrNone(o.users)}, {"--spawn-rate", o.spawnRate}, {"--run-time", o.runTime},
	} {
		if option[1] != "" {
			args.WriteString(" " + option[0] + " " + quote(option[1]))
		}
	}
	return args.String()
}

func numberOrNone(n int32) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

func (o *testOptions) criteria() *v2.SuccessCriteria {
	limit := func(d time.Duration) *metav1.Duration {
		if d == 0 {
			return nil
		}
		return &metav1.Duration{Duration: d}
	}
	criteria := v2.SuccessCriteria{MaxFailureRatio: o.maxFailureRatio, MinRequestsPerSecond: o.minRPS, MaxAverageResponseTime: limit(o.maxAverage)}
	times := v2.ResponseTimeLimits{P50: limit(o.maxP50), P90: limit(o.maxP90), P95: limit(o.maxP95), P99: limit(o.maxP99)}
	if times != (v2.ResponseTimeLimits{}) {
		criteria.MaxResponseTime = &times
	}
	if o.minRequests != 0 {
		criteria.MinTotalRequests = &o.minRequests
	}
	if criteria == (v2.SuccessCriteria{}) {
		return nil
	}
	return &criteria
}

// addFiles adds files to a test: inline if they are few and small, otherwise by the ConfigMap that it returns.
func addFiles(test *v2.LocustTest, files *testFiles) (*corev1.ConfigMap, error) {
	if inline := files.inline(); inline != nil {
		test.Spec.TestFiles = &v2.TestFilesConfig{Inline: inline}
		return nil, nil
	}
	configMap, paths, err := files.configMap()
	if err != nil {
		return nil, err
	}
	configMap.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	// The name is a new one also for a test of the same name: the ConfigMap of the one before may still be in deletion.
	configMap.Name = test.Name + filesInfix + rand.String(suffixLength)
	configMap.Labels = map[string]string{resources.LabelTestName: test.Name}
	if !files.isNested() {
		test.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: configMap.Name}
		return configMap, nil
	}
	// testFiles has no folders; a volume has.
	test.Spec.Volumes = []corev1.Volume{{Name: volumeFiles, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: configMap.Name}, Items: paths,
	}}}}
	test.Spec.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{
		Name: volumeFiles, MountPath: v2.DefaultSrcMountPath, ReadOnly: true,
	}}}
	return configMap, nil
}

// validate returns the errors that the operator would report, so that nothing is created for them.
func validate(test *v2.LocustTest) error {
	errs := validation.Validate(test)
	if len(errs) == 0 {
		return nil
	}
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = "  " + err.Error()
	}
	return errors.New("the test is invalid:\n" + strings.Join(lines, "\n"))
}

// isEndless reports whether a test has no run time.
func isEndless(test *v2.LocustTest) bool { return resources.ConfigFor(&test.Spec).Load.RunTime == nil }

// slowStart returns what to do if not all users can start within the run time; empty if they can. Locust may then end the load late
// (2.47.0 goes on for a minute).
func (o *testOptions) slowStart() string {
	runTime := locustcli.ParseTimespan(o.runTime, false)
	rate := 1.0 // Locust's default
	if o.spawnRate != "" {
		rate, _ = strconv.ParseFloat(o.spawnRate, 64) // Locust reports what is no number
	}
	if runTime == 0 || rate <= 0 || float64(o.users)/rate < runTime.Seconds() {
		return ""
	}
	return fmt.Sprintf("%d users need %.0f s to start at %g per second, as long as the run time or longer; raise --spawn-rate", o.users, float64(o.users)/rate, rate)
}

const (
	suffixLength = 5
	// maxBaseName leaves room for the suffix in the name of a test, which has at most 51 characters.
	maxBaseName = 51 - 1 - suffixLength
	// filesInfix is between the names of a test and the suffix of its ConfigMap.
	filesInfix = "-files-"
	fallback   = "test"
)

var (
	notInNames   = regexp.MustCompile(`[^a-z0-9]+`)
	randomSuffix = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{5}$`) // the characters of rand.String
)

// nameFor returns a new name for the test of a locustfile or folder.
func nameFor(source string) string {
	if absolute, err := filepath.Abs(source); err == nil {
		source = absolute // "." has a name too
	}
	return newName(strings.TrimSuffix(filepath.Base(source), ".py"))
}

// newName returns a name with a random suffix. Names of Services, which are made from it, begin with a letter.
func newName(base string) string {
	base = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(base), "-"), "-")
	switch {
	case base == "":
		base = fallback
	case base[0] >= '0' && base[0] <= '9':
		base = fallback + "-" + base
	}
	base = strings.TrimRight(base[:min(len(base), maxBaseName)], "-")
	return base + "-" + rand.String(suffixLength)
}

// plain matches words that need no quotes in a command line.
var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote returns a word for a POSIX shell, and for spec.master.command, which is split as a shell does.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
