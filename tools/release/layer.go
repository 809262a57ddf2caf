package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything in an image, so that the same content has the same digest.
var epoch = time.Unix(0, 0).UTC()

var errNoFiles = errors.New("the Dockerfile copies no files")

// layer packs the files that the Dockerfile copies from the folder.
func (r *recipe) layer(folder string, platform v1.Platform) (v1.Layer, error) {
	files := map[string]string{} // path in the image -> path here
	for _, c := range r.copies {
		if err := collect(files, filepath.Join(folder, filepath.FromSlash(c.source)), c.source, c.target); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, errNoFiles
	}
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	folders := map[string]bool{".": true}
	for _, target := range slices.Sorted(maps.Keys(files)) {
		if err := addFolders(w, folders, path.Dir(target)); err != nil {
			return nil, err
		}
		if err := addFile(w, target, files[target], platform); err != nil {
			return nil, fmt.Errorf("pack %s: %w", files[target], err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// collect adds a file, or the content of a folder, as COPY does. The keys are relative to the root of the image.
func collect(files map[string]string, from, source, target string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if !info.IsDir() {
		if strings.HasSuffix(target, "/") {
			target = path.Join(target, path.Base(source))
		}
		files[relative(target)] = from
		return nil
	}
	return filepath.WalkDir(from, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		files[relative(path.Join(target, filepath.ToSlash(name)))] = file
		return nil
	})
}

func relative(target string) string { return strings.TrimPrefix(path.Clean("/"+target), "/") }

func addFolders(w *tar.Writer, written map[string]bool, folder string) error {
	if written[folder] {
		return nil
	}
	written[folder] = true
	if err := addFolders(w, written, path.Dir(folder)); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: epoch})
}

func addFile(w *tar.Writer, target, source string, platform v1.Platform) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if err := checkMachine(data, platform); err != nil {
		return err
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: target, Mode: 0o644, Size: int64(len(data)), ModTime: epoch}
	if info.Mode()&0o111 != 0 {
		header.Mode = 0o755
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// machines are the architectures of Go and the machines of their binaries.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390,
}

// checkMachine returns an error if the data is a program that does not run on the platform.
func checkMachine(data []byte, platform v1.Platform) error {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil
	}
	program, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	want, known := machines[platform.Architecture]
	if !known {
		return fmt.Errorf("architecture %s is unknown", platform.Architecture)
	}
	if program.Machine != want {
		return fmt.Errorf("it is a program for %s and cannot run on %s", program.Machine, platform)
	}
	return nil
}
