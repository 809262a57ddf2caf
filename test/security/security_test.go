// Package security checks docs/security.md against the manifests and the tests that it names.
package security

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const root = "../.."

func page(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	require.NoError(t, err)
	return string(data)
}

// rows returns the cells of the tables in a text, without header rows.
func rows(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if slices.Contains(cells, "why") || slices.Contains(cells, "who") {
			continue
		}
		all = append(all, cells)
	}
	return all
}

// TestRights checks that the tables list exactly the permissions of the manifests, each with a reason.
func TestRights(t *testing.T) {
	text := page(t)
	for _, file := range []string{
		"config/rbac/role.yaml", "config/certificates/role.yaml", "config/rbac/leader_election_role.yaml", "config/rbac/metrics_role.yaml",
	} {
		t.Run(file, func(t *testing.T) {
			_, section, found := strings.Cut(text, "\n### "+file+"\n")
			require.True(t, found, "docs/security.md has no section for %s", file)
			section, _, _ = strings.Cut(section, "\n##")
			documented := map[string]bool{}
			for _, cells := range rows(section) {
				require.Len(t, cells, 6, "%v", cells)
				assert.NotEmpty(t, cells[5], "%v has no reason", cells[:5])
				for i := range 4 {
					cells[i] = strings.Trim(cells[i], "`")
				}
				for verb := range strings.SplitSeq(cells[4], ", ") {
					documented[permission(cells[0], cells[1], cells[2], cells[3], verb)] = true
				}
			}
			assert.Equal(t, granted(t, file), documented, "change the table in docs/security.md, with the reason")
		})
	}
}

// permission formats one permission. An empty name means all names.
func permission(group, resource, kind, name, verb string) string {
	return fmt.Sprintf("%s: %s %s %q in a %s", verb, group, resource, name, kind)
}

// granted returns the permissions of all roles in a file.
func granted(t *testing.T, file string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	all := map[string]bool{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var role rbacv1.ClusterRole
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						for _, name := range orAny(rule.ResourceNames) {
							all[permission(cmp.Or(group, "core"), resource, role.Kind, name, verb)] = true
						}
					}
				}
				for _, url := range rule.NonResourceURLs {
					all[permission("", url, role.Kind, "", verb)] = true
				}
			}
		}
	}
	require.NotEmpty(t, all)
	return all
}

// orAny returns names, or one empty name if there are none.
func orAny(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

var (
	inFolder     = regexp.MustCompile("([a-z/0-9]+): ((?:`Test[A-Za-z0-9_]+`(?:, )?)+)")
	testFunction = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	testName     = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
)

// TestNamedTestsExist checks that the tests named in the threat model exist in the named folder.
func TestNamedTestsExist(t *testing.T) {
	_, section, _ := strings.Cut(page(t), "\n## Threat model\n")
	section, _, _ = strings.Cut(section, "\n## ")
	threats := rows(section)
	require.Greater(t, len(threats), 10)
	for _, cells := range threats {
		require.Len(t, cells, 5, "%v", cells)
		for i, cell := range cells[1:] {
			assert.NotEmpty(t, cell, "column %d of the threat %q", i+2, cells[1])
		}
		found := 0
		for _, part := range inFolder.FindAllStringSubmatch(cells[3], -1) {
			folder := part[1]
			if folder == "integration" {
				folder = "test/integration"
			}
			tests := testsIn(t, folder)
			for _, name := range testName.FindAllStringSubmatch(part[2], -1) {
				found++
				assert.Contains(t, tests, name[1], "docs/security.md names a test that %s does not have", folder)
			}
		}
		assert.Equal(t, strings.Count(cells[3], "`Test"), found, "name the folder of each test: %s", cells[3])
		assert.NotZero(t, found, "no test is named for the threat %q", cells[1])
	}
}

// testsIn returns the names of the tests in a folder.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range testFunction.FindAllSubmatch(data, -1) {
			names = append(names, string(found[1]))
		}
	}
	return names
}
