// Package github checks the files in .github that actionlint does not check.
package github

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]struct {
		Uses    string `json:"uses"`
		Timeout int    `json:"timeout-minutes"`
		Steps   []struct {
			Run string `json:"run"`
		} `json:"steps"`
	} `json:"jobs"`
}

func read(t *testing.T, into any, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return string(data)
}

var (
	uses   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`)
	pinned = regexp.MustCompile(`^[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	calls  = regexp.MustCompile(`(?:^|[\s(])make ((?:[a-z][a-z0-9-]* ?)+)`)
)

// TestWorkflows checks that actions are pinned by commit, that jobs have few permissions and end, and that they call targets
// that exist.
func TestWorkflows(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	called := 0
	for _, file := range files {
		var w workflow
		text := read(t, &w, file)
		name := filepath.Base(file)
		for _, match := range uses.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(match[1], "./") && !pinned.MatchString(match[1]) {
				t.Errorf("%s: %q must be pinned by commit, with its version as a comment", name, match[1])
			}
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: permissions %v: grant more only to the job that needs it", name, w.Permissions)
		}
		for id, job := range w.Jobs {
			if job.Uses == "" && job.Timeout == 0 {
				t.Errorf("%s: job %s has no timeout-minutes", name, id)
			}
			for _, step := range job.Steps {
				for _, match := range calls.FindAllStringSubmatch(step.Run, -1) {
					for target := range strings.FieldsSeq(match[1]) {
						called++
						if !strings.Contains(string(makefile), "\n"+target+":") {
							t.Errorf("%s: job %s calls make %s, which does not exist", name, id, target)
						}
					}
				}
			}
		}
	}
	if called < 5 {
		t.Errorf("found only %d calls of make", called)
	}
}

// TestDependabot checks that each module gets updates.
func TestDependabot(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directory   string   `json:"directory"`
			Directories []string `json:"directories"`
		} `json:"updates"`
	}
	read(t, &config, filepath.Join(root, ".github", "dependabot.yml"))
	var patterns []string
	for _, update := range config.Updates {
		if update.Ecosystem == "gomod" {
			patterns = append(append(patterns, update.Directories...), update.Directory)
		}
	}
	modules := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "go.mod" {
			return err
		}
		modules++
		folder := path.Join("/", path.Dir(file))
		if !slices.ContainsFunc(patterns, func(pattern string) bool { matched, _ := path.Match(pattern, folder); return matched }) {
			t.Errorf(".github/dependabot.yml has no updates for the module in %s", folder)
		}
		return nil
	})
	if err != nil || modules < 5 {
		t.Errorf("%d modules, %v", modules, err)
	}
}

// TestIssueForms checks what the hosting platform requires of issue forms; it ignores a wrong one without an error.
func TestIssueForms(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "ISSUE_TEMPLATE", "*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if filepath.Base(file) == "config.yml" {
			continue
		}
		var form struct {
			Name        string `json:"name"`
			Description string `json:"description"`
			Body        []struct {
				Type       string `json:"type"`
				ID         string `json:"id"`
				Attributes struct {
					Label   string   `json:"label"`
					Options []string `json:"options"`
				} `json:"attributes"`
			} `json:"body"`
		}
		read(t, &form, file)
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s needs a name, a description and a body", file)
		}
		ids := map[string]bool{}
		for _, field := range form.Body {
			if !slices.Contains([]string{"input", "textarea", "dropdown", "checkboxes"}, field.Type) || field.Attributes.Label == "" {
				t.Errorf("%s: field %q needs a known type and a label", file, field.ID)
			}
			if (field.Type == "dropdown") != (len(field.Attributes.Options) > 0) {
				t.Errorf("%s: a dropdown needs options: %q", file, field.ID)
			}
			if ids[field.ID] {
				t.Errorf("%s: the id %q is used twice", file, field.ID)
			}
			ids[field.ID] = true
		}
	}
}
