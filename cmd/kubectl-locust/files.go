package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// defaultLocustfile is the locustfile of a folder, as Locust itself has it.
const defaultLocustfile = "locustfile.py"

// maxFileBytes is how much a ConfigMap holds, names included.
const maxFileBytes = corev1.MaxSecretSize

// testFiles are the files of a test.
type testFiles struct {
	// locustfile is the path of the locustfile, relative to the folder.
	locustfile string
	// content has all files by their path, relative to the folder and with slashes.
	content map[string][]byte
	// notes are what the user needs to know about files that are left out.
	notes []string
	size  int
}

// readTestFiles reads a locustfile, or a folder with locustfile.py and the modules and data that it uses.
func readTestFiles(name string) (*testFiles, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist; name a locustfile, or a folder with a %s", name, defaultLocustfile)
	case err != nil:
		return nil, fmt.Errorf("read the locustfile: %w", err)
	case info.IsDir():
		return readFolder(name)
	}
	files := &testFiles{locustfile: filepath.Base(name), content: map[string][]byte{}}
	switch extension := filepath.Ext(name); extension {
	case ".py":
	case ".yaml", ".yml", ".json":
		return nil, fmt.Errorf("%s is no locustfile; to run a manifest, use --filename %s", name, name)
	default:
		return nil, fmt.Errorf("%s is no locustfile: its name does not end in .py; rename it", name)
	}
	return files, files.add(name, files.locustfile, info)
}

func readFolder(folder string) (*testFiles, error) {
	if _, err := os.Stat(filepath.Join(folder, defaultLocustfile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the folder %s has no %s; add one, or name the locustfile: kubectl locust run %s",
				folder, defaultLocustfile, filepath.Join(folder, "NAME.py"))
		}
		return nil, fmt.Errorf("read the locustfile: %w", err)
	}
	files := &testFiles{locustfile: defaultLocustfile, content: map[string][]byte{}}
	// A folder may be a symbolic link itself, which WalkDir does not follow.
	root, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, fmt.Errorf("read the folder: %w", err)
	}
	return files, filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read the folder: %w", err)
		}
		if full == root {
			return nil
		}
		base := entry.Name()
		switch {
		case entry.IsDir() && (strings.HasPrefix(base, ".") || base == "__pycache__"):
			return fs.SkipDir
		case entry.IsDir() && isVirtualEnvironment(full):
			files.notes = append(files.notes, "left out "+base+": a virtual environment belongs into the image, see docs/howto.md#use-your-own-python-packages")
			return fs.SkipDir
		case entry.IsDir(), strings.HasPrefix(base, "."), filepath.Ext(base) == ".pyc":
			return nil
		}
		relative, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if relative == "requirements.txt" {
			files.notes = append(files.notes, "left out requirements.txt: packages are not installed yet; use an image that has them, see docs/howto.md#use-your-own-python-packages")
			return nil
		}
		info, err := os.Stat(full)
		if err != nil {
			return fmt.Errorf("read the folder: %w", err)
		}
		return files.add(full, relative, info)
	})
}

func isVirtualEnvironment(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "pyvenv.cfg"))
	return err == nil
}

// add reads one file. It refuses what a pod could not get before it reads it.
func (f *testFiles) add(full, relative string, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%s is a symbolic link to a folder, which is not followed; copy the folder, or remove the link", full)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file; remove it, or name another file", full)
	}
	for _, part := range strings.Split(relative, "/") {
		if problems := validation.IsConfigMapKey(part); len(problems) > 0 {
			return fmt.Errorf("%s cannot be mounted into a pod: names have only letters, digits, '-', '_' and '.'; rename it", full)
		}
	}
	// The size of a file decides before its content is in memory.
	if int64(f.size)+info.Size() > maxFileBytes {
		return fmt.Errorf("the files are too large at %s: a ConfigMap holds %d KiB; remove files that the test does not need, or put them into an image or a volume, see docs/howto.md#use-files-that-are-larger-than-a-configmap",
			full, maxFileBytes>>10)
	}
	content, err := os.ReadFile(full) // #nosec G304 -- the user names the file
	if err != nil {
		return fmt.Errorf("read the files of the test: %w", err)
	}
	f.content[relative] = content
	f.size += len(relative) + len(content)
	if f.size > maxFileBytes {
		return fmt.Errorf("the files are too large at %s: a ConfigMap holds %d KiB; see docs/howto.md#use-files-that-are-larger-than-a-configmap", full, maxFileBytes>>10)
	}
	return nil
}

// hasShape reports whether a load shape may end the load.
func (f *testFiles) hasShape() bool {
	for _, content := range f.content {
		if bytes.Contains(content, []byte("LoadTestShape")) {
			return true
		}
	}
	return false
}

// isNested reports whether a file is in a folder.
func (f *testFiles) isNested() bool {
	for name := range f.content {
		if strings.Contains(name, "/") {
			return true
		}
	}
	return false
}

// inline returns the files for spec.testFiles.inline; nil if they do not fit its limits.
func (f *testFiles) inline() map[string]v2.InlineFile {
	if f.isNested() || len(f.content) > v2.MaxInlineFiles || f.size > v2.MaxInlineBytes {
		return nil
	}
	files := map[string]v2.InlineFile{}
	for name, content := range f.content {
		if !isText(content) {
			return nil
		}
		files[name] = v2.InlineFile(content)
	}
	if encoded, err := json.Marshal(files); err != nil || len(encoded) > v2.MaxInlineJSON {
		return nil
	}
	return files
}

func isText(content []byte) bool { return utf8.Valid(content) && bytes.IndexByte(content, 0) < 0 }

// configMap returns a ConfigMap with the files, and the path of each key.
func (f *testFiles) configMap() (*corev1.ConfigMap, []corev1.KeyToPath, error) {
	cm := &corev1.ConfigMap{Data: map[string]string{}, BinaryData: map[string][]byte{}}
	var paths []corev1.KeyToPath
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.content)) {
		// A key has no slashes, and cannot begin with two dots.
		key := strings.ReplaceAll(path.Clean(name), "/", "..")
		if other, taken := seen[key]; taken {
			return nil, nil, fmt.Errorf("the files %s and %s would have the same key in a ConfigMap; rename one of them", other, name)
		}
		if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
			return nil, nil, fmt.Errorf("the file %s cannot be a key of a ConfigMap: %s; rename it", name, strings.Join(problems, ", "))
		}
		seen[key] = name
		paths = append(paths, corev1.KeyToPath{Key: key, Path: name})
		if isText(f.content[name]) {
			cm.Data[key] = string(f.content[name])
		} else {
			cm.BinaryData[key] = f.content[name]
		}
	}
	return cm, paths, nil
}
