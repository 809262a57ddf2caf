package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/macho"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// archiveOptions are the flags of the command archive.
type archiveOptions struct {
	// program is the path of the program, and more the paths of files beside it.
	program string
	more    []string
	name    string
	version string
	dist    string
	created time.Time
}

// archivedFile is a file in the root of an archive.
type archivedFile struct {
	name string
	mode int64
	data []byte
}

// writeArchive writes the archive of a program for users to dist, and returns its name: a zip for Windows, otherwise a tar.gz. The same
// content gives the same archive: neither owners nor the times of the files are in it.
func writeArchive(o archiveOptions, platform v1.Platform) (string, error) {
	if err := checkExecutable(o.program, platform); err != nil {
		return "", err
	}
	pack, extension := packTar, ".tar.gz"
	if platform.OS == "windows" {
		pack, extension = packZip, ".zip"
	}
	var files []archivedFile
	for i, source := range append([]string{o.program}, o.more...) {
		data, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		info, err := os.Stat(source)
		if err != nil {
			return "", err
		}
		file := archivedFile{filepath.Base(source), 0o644, data}
		if i == 0 {
			file.name = executable(o.name, platform)
		}
		if i == 0 || info.Mode()&0o111 != 0 {
			file.mode = 0o755
		}
		files = append(files, file)
	}
	name := fmt.Sprintf("%s_%s_%s_%s%s", o.name, o.version, platform.OS, platform.Architecture, extension)
	var archive bytes.Buffer
	if err := pack(&archive, files, o.created.UTC()); err != nil {
		return "", fmt.Errorf("pack %s: %w", name, err)
	}
	return name, os.WriteFile(filepath.Join(o.dist, name), archive.Bytes(), 0o644)
}

// executable returns the file name of a program.
func executable(name string, platform v1.Platform) string {
	if platform.OS == "windows" {
		return name + ".exe"
	}
	return name
}

func packTar(out io.Writer, files []archivedFile, created time.Time) error {
	compressed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	for _, file := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.name, Mode: file.mode, Size: int64(len(file.data)), ModTime: created, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(file.data); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), compressed.Close())
}

func packZip(out io.Writer, files []archivedFile, created time.Time) error {
	w := zip.NewWriter(out)
	for _, file := range files {
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: created}
		header.SetMode(os.FileMode(file.mode))
		part, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := part.Write(file.data); err != nil {
			return err
		}
	}
	return w.Close()
}

// checkExecutable returns an error if a file is no program of the platform.
func checkExecutable(file string, platform v1.Platform) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var found bool
	switch platform.OS {
	case "linux":
		if !bytes.HasPrefix(data, []byte("\x7fELF")) {
			return fmt.Errorf("%s is no program for %s", file, platform)
		}
		return checkMachine(data, platform)
	case "darwin":
		cpu := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[platform.Architecture]
		program, err := macho.NewFile(bytes.NewReader(data))
		found = err == nil && program.Cpu == cpu
	case "windows":
		machine := map[string]uint16{"amd64": pe.IMAGE_FILE_MACHINE_AMD64, "arm64": pe.IMAGE_FILE_MACHINE_ARM64}[platform.Architecture]
		program, err := pe.NewFile(bytes.NewReader(data))
		found = err == nil && program.Machine == machine
	}
	if !found {
		return fmt.Errorf("%s is no program for %s", file, platform)
	}
	return nil
}

// archivePlatform returns the platform in the name of an archive, as writeArchive names it.
func archivePlatform(archive, name, version string) (v1.Platform, error) {
	base := path.Base(filepath.ToSlash(archive))
	for _, os := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			for _, extension := range []string{".tar.gz", ".zip"} {
				if base == fmt.Sprintf("%s_%s_%s_%s%s", name, version, os, arch, extension) {
					return v1.Platform{OS: os, Architecture: arch}, nil
				}
			}
		}
	}
	return v1.Platform{}, fmt.Errorf("%s is not named like an archive of %s %s", archive, name, version)
}
