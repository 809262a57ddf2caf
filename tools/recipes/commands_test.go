package recipes

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listed is the page that names the test of each command, or the reason why none runs it.
const listed = "docs/commands.md"

var (
	// program matches the beginning of a command line.
	program = regexp.MustCompile(`^(kubectl|helm|make|operator-sdk|oc|cosign|gh|curl|docker|podman|kind|minikube|git|openssl|jq|opm|sha256sum|flux|argocd|istioctl|go|eval|for|kustomize) `)
	fence   = regexp.MustCompile("^ *```([a-z]*)")
	span    = regexp.MustCompile("`([^`\n]+)`")
	comment = regexp.MustCompile(`\s+# .*$`)
	heading = regexp.MustCompile("^## (Run by|Not run)(?::| `([A-Za-z0-9_/]+)`)")
	target  = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
)

// lines returns the lines of the code blocks of a page: indented ones, and fenced ones without a language or of a shell.
func lines(page string) []string {
	var found []string
	inside, shell := false, false
	for line := range strings.SplitSeq(page, "\n") {
		match := fence.FindStringSubmatch(line)
		switch {
		case match != nil && !inside:
			inside, shell = true, slices.Contains([]string{"", "sh", "bash", "console"}, match[1])
		case match != nil:
			inside = false
		case inside && shell, !inside && strings.HasPrefix(line, "    "):
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// commands returns the commands of a page: those in code blocks, and code spans of at least three words.
func commands(page string) []string {
	var found []string
	joined := ""
	for _, line := range lines(page) {
		line = strings.TrimPrefix(line, "$ ")
		if joined == "" && !program.MatchString(line+" ") {
			continue
		}
		joined += comment.ReplaceAllString(line, "")
		if rest, continues := strings.CutSuffix(joined, `\`); continues || strings.HasSuffix(joined, "|") {
			joined = strings.TrimSpace(rest) + " "
			continue
		}
		found = append(found, strings.TrimSpace(joined))
		joined = ""
	}
	for _, match := range span.FindAllStringSubmatch(page, -1) {
		if command := match[1]; program.MatchString(command) && len(strings.Fields(command)) >= 3 {
			found = append(found, command)
		}
	}
	return found
}

// pages returns all pages for users and contributors, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "charts/*/*.md", "config/*/*.md", "test/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			path, err := filepath.Rel(root, file)
			require.NoError(t, err)
			all[filepath.ToSlash(path)] = readPage(t, path)
		}
	}
	require.Contains(t, all, listed)
	require.Contains(t, all, "README.md")
	return all
}

// testSources returns the source of all tests.
func testSources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, folder := range []string{"test", "tools", "pkg", "cmd"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		}))
	}
	return all.String()
}

// TestCommands checks that docs/commands.md lists exactly the commands of all pages, and that the tests that it names exist.
// A command under TestDocs is one of that test, as written.
func TestCommands(t *testing.T) {
	all := pages(t)
	sources := testSources(t)
	docsTest := readPage(t, "test/e2e/docs_test.go")

	var inList []string
	runner := ""
	for line := range strings.SplitSeq(all[listed], "\n") {
		if match := heading.FindStringSubmatch(line); match != nil {
			runner = match[2]
			if runner != "" {
				name, _, _ := strings.Cut(runner, "/")
				exists := strings.Contains(sources, "func "+name+"(t *testing.T)")
				assert.True(t, exists, "%s names %s, which does not exist", listed, name)
			} else {
				assert.Equal(t, "Not run", match[1])
			}
			continue
		}
		command, isCommand := strings.CutPrefix(line, "    ")
		if !isCommand {
			continue
		}
		assert.False(t, slices.Contains(inList, command), "%s lists a command twice: %s", listed, command)
		inList = append(inList, command)
		if runner == "TestDocs" {
			assert.True(t, strings.Contains(docsTest, `("`+command+`"`) || strings.Contains(docsTest, "(`"+command+"`"), "test/e2e/docs_test.go does not run: %s", command)
		}
	}

	var inPages []string
	for path, page := range all {
		if path == listed || path == "CHANGELOG.md" {
			continue
		}
		for _, command := range commands(page) {
			inPages = append(inPages, command)
			assert.True(t, slices.Contains(inList, command), "%s does not list a command of %s: %s", listed, path, command)
		}
	}
	for _, command := range inList {
		assert.True(t, slices.Contains(inPages, command), "%s lists a command that no page has: %s", listed, command)
	}
}

// TestMakeTargets checks that each target that a page names exists.
func TestMakeTargets(t *testing.T) {
	makefile := readPage(t, "Makefile")
	checked := 0
	for path, page := range pages(t) {
		named := commands(page)
		for _, match := range span.FindAllStringSubmatch(page, -1) {
			named = append(named, match[1])
		}
		for _, command := range named {
			for i, word := range strings.Fields(command) {
				if i == 0 && word != "make" || strings.Contains(word, `"`) || !target.MatchString(word) && !strings.Contains(word, "=") {
					break
				}
				if i > 0 && target.MatchString(word) {
					checked++
					exists := strings.Contains(makefile, "\n"+word+":")
					assert.True(t, exists, "%s: %s: there is no target %s", path, command, word)
				}
			}
		}
	}
	assert.Greater(t, checked, 50)
}
