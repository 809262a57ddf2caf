package recipes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
)

var (
	// conditionRow matches a row of the table of conditions in docs/status.md.
	conditionRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (True|False|Unknown) \\| `(\\w+)` \\|")
	// camelCase matches names of more than one word, as reasons and conditions have them.
	camelCase = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]+)+$`)
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	title     = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// otherNames are names in docs/troubleshooting.md that are neither conditions nor reasons of them.
var otherNames = map[string]bool{
	"ImagePullBackOff": true, "ErrImagePull": true, "ContainerCreating": true, "FailedMount": true, "FailedCreatePodSandBox": true,
	"BackoffLimitExceeded": true, "LocustTest": true, "LocustReport": true, "FastHttpUser": true, "ReportNotCreated": true,
}

// readPage returns a page of the documentation by its path in the repository.
func readPage(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	require.NoError(t, err)
	return string(data)
}

// yamlBlocks returns the fenced YAML blocks of a page, without the indentation that they have inside a list.
func yamlBlocks(text string) []string {
	var blocks []string
	var block []string
	indent, inside := "", false
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case !inside && trimmed == "```yaml":
			indent, inside, block = strings.TrimSuffix(line, trimmed), true, nil
		case inside && trimmed == "```":
			inside = false
			blocks = append(blocks, strings.Join(block, "\n")+"\n")
		case inside:
			block = append(block, strings.TrimPrefix(line, indent))
		}
	}
	return blocks
}

// TestManifests checks that each LocustTest in the guides can be decoded, is valid, and that its Jobs can be built.
func TestManifests(t *testing.T) {
	for path, least := range map[string]int{"docs/start.md": 2, "docs/howto.md": 13, "docs/coming-from.md": 2} {
		found := 0
		for _, block := range yamlBlocks(readPage(t, path)) {
			var object map[string]any
			require.NoError(t, yaml.UnmarshalStrict([]byte(block), &object), "%s:\n%s", path, block)
			if object["apiVersion"] != v2.GroupVersion.String() || object["kind"] != "LocustTest" {
				continue
			}
			found++
			var test v2.LocustTest
			require.NoError(t, yaml.UnmarshalStrict([]byte(block), &test), "%s:\n%s", path, block)
			require.Nil(t, test.DecodeError, "%s:\n%s", path, block)
			assert.NotEmpty(t, test.Name, "%s:\n%s", path, block)
			assert.NotEmpty(t, test.Spec.Image, "%s:\n%s", path, block)
			assert.Positive(t, test.Spec.Worker.Replicas, "%s:\n%s", path, block)
			assert.Empty(t, validation.Validate(&test), "%s:\n%s", path, block)
			_, err := resources.BuildMasterJob(&test, &resources.PodDefaults{})
			assert.NoError(t, err, "%s:\n%s", path, block)
			_, err = resources.BuildWorkerJob(&test, &resources.PodDefaults{})
			assert.NoError(t, err, "%s:\n%s", path, block)
		}
		assert.GreaterOrEqual(t, found, least, path)
	}
}

// TestPodDefaults checks that the defaults in docs/howto.md are valid.
func TestPodDefaults(t *testing.T) {
	_, text, found := strings.Cut(readPage(t, "docs/howto.md"), "Save them as `pod-defaults.yaml`:")
	require.True(t, found)
	raw, err := yaml.YAMLToJSON([]byte(yamlBlocks(text)[0]))
	require.NoError(t, err)
	defaults, err := resources.ParsePodDefaults(raw)
	require.NoError(t, err)
	assert.NotEmpty(t, defaults.Master.Resources.Requests)
	assert.Empty(t, validation.ValidatePodDefaults(&defaults))
}

// TestFirstTest checks that the first test of docs/start.md is the sample that the end-to-end suite runs.
func TestFirstTest(t *testing.T) {
	var shown, sample v2.LocustTest
	require.NoError(t, yaml.UnmarshalStrict([]byte(yamlBlocks(readPage(t, "docs/start.md"))[0]), &shown))
	require.NoError(t, yaml.UnmarshalStrict([]byte(readPage(t, "config/samples/v2/inline.yaml")), &sample))
	assert.Equal(t, sample, shown)
}

// TestReasons checks that docs/troubleshooting.md names no condition or reason that does not exist, and each reason that
// reports a problem.
func TestReasons(t *testing.T) {
	status := readPage(t, "docs/status.md")
	conditions := conditionRow.FindAllStringSubmatch(status, -1)
	require.Greater(t, len(conditions), 25)
	known := map[string]bool{}
	for _, c := range conditions {
		known[c[1]], known[c[3]] = true, true
	}

	named := map[string]bool{}
	for line := range strings.SplitSeq(readPage(t, "docs/troubleshooting.md"), "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for _, match := range span.FindAllStringSubmatch(line, -1) {
			named[match[1]] = true
			if camelCase.MatchString(match[1]) && !otherNames[match[1]] {
				assert.True(t, known[match[1]], "docs/status.md has no condition and no reason %s, which is in: %s", match[1], line)
			}
		}
	}
	for _, c := range conditions {
		problem := c[2] == "False" && (c[1] == v2.ConditionTypePodsHealthy || c[1] == v2.ConditionTypeLoadDelivered || c[1] == v2.ConditionTypeWorkersConnected)
		if problem || c[3] == v2.ReasonSpecChangeIgnored || c[3] == v2.ReasonNotObserved || c[3] == v2.ReasonSuspended {
			assert.True(t, named[c[3]], "docs/troubleshooting.md does not name the reason %s of %s", c[3], c[1])
		}
	}
}

// anchor returns the fragment by which GitHub addresses a title.
func anchor(text string) string {
	var name strings.Builder
	for _, r := range strings.ToLower(link.ReplaceAllString(text, "]")) {
		switch {
		case r == ' ':
			name.WriteRune('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			name.WriteRune(r)
		}
	}
	return name.String()
}

// TestLinks checks that the relative links of all pages lead to files and titles that exist.
func TestLinks(t *testing.T) {
	titles := map[string]map[string]bool{} // by page, created when needed
	checked := 0
	for path, text := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			linked, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(match[1], "://") || strings.HasPrefix(match[1], "mailto:") {
				continue
			}
			checked++
			file := filepath.Join(root, filepath.FromSlash(path))
			if linked != "" {
				file = filepath.Join(filepath.Dir(file), filepath.FromSlash(linked))
			}
			if _, err := os.Stat(file); !assert.NoError(t, err, "%s: link to %s", path, match[1]) || fragment == "" {
				continue
			}
			if titles[file] == nil {
				titles[file] = map[string]bool{}
				data, err := os.ReadFile(file)
				require.NoError(t, err)
				for _, found := range title.FindAllStringSubmatch(string(data), -1) {
					titles[file][anchor(found[1])] = true
				}
			}
			assert.True(t, titles[file][fragment], "%s: link to %s: no such title", path, match[1])
		}
	}
	assert.Greater(t, checked, 100)
}
